"""From a file's bytes to upright RGB pixels of one size, and the facts worth keeping."""

import hashlib
import io
import os
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from mocosearch.errors import Unreadable
from mocosearch.photos.facts import Facts, camera_of, place_of, taken_of
from mocosearch.photos.perceptual import perceptual_hash

Pixels = NDArray[np.uint8]

MAX_PIXELS = 300_000_000
"""Refuse larger pictures from their header: 0.9 GB as RGB, past any camera's single shot."""
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit would come first, and is lower.

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif"})
_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif"),
    *(".tiff", ".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif", ".avif"),
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded file: `pixels` uint8 (side, side, 3) RGB."""

    pixels: Pixels
    facts: Facts


def looks_like_picture(head: bytes, path: str) -> bool:
    """Told by content; an extension counts only to call an unknown content a bad picture."""
    if head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        return True
    if head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51":
        return True
    return os.path.splitext(path)[1].lower() in _EXTENSIONS


def read(path: str) -> bytes | None:
    """A file's bytes, or None where neither content nor name is a picture's.

    Raises Unreadable for an empty file and for one that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(32)
            if not looks_like_picture(head, path):
                return None
            data = head + file.read()
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    if not data:
        raise Unreadable("empty file")
    return data


def digest_of(data: bytes) -> bytes:
    """16 bytes that stand for a file's content (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=16).digest()


def decode(data: bytes, side: int) -> Picture:
    """Decode to an upright square of `side` pixels, the whole picture squashed into it.

    The square keeps every part of the picture in view, which retrieval needs more than true
    proportions. JPEGs are decoded at the smallest DCT scale that still holds `side` pixels
    (Pillow's `draft`): 9 times faster at 12 megapixels.

    Raises Unreadable with the reason.
    """
    image, facts = _opened(data, (side, side), squash=True)
    return Picture(np.asarray(image), facts)


def upright(data: bytes, longest: int) -> Image.Image:
    """Decode for people's eyes: true proportions, RGB, `longest` pixels at most.

    Raises Unreadable with the reason.
    """
    return _opened(data, (longest, longest), squash=False)[0]


def _opened(data: bytes, size: tuple[int, int], squash: bool) -> tuple[Image.Image, Facts]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(data, size, squash)
    except Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise Unreadable("not a picture in any known format") from error
    except MemoryError as error:
        raise Unreadable("too large for the memory") from error
    # Decoders raise whatever they like on broken input; here every such file is one refusal.
    except Exception as error:
        raise Unreadable(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _decoded(data: bytes, size: tuple[int, int], squash: bool) -> tuple[Image.Image, Facts]:
    if data[4:8] == b"ftyp" and data[8:12] != b"avif":
        _register_heif()
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Unreadable(f"{image.width} x {image.height} pixels are over the limit")
        width, height, kind = image.width, image.height, image.format or "?"
        exif = image.getexif()
        turn = exif.get(ExifTags.Base.Orientation, 1)
        if turn in (5, 6, 7, 8):
            width, height = height, width
        image.draft("RGB", size)
        small = _to_rgb(image)
        if squash:
            small = small.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        else:
            small.thumbnail(size)
        if turn in _UPRIGHT:
            small = small.transpose(_UPRIGHT[turn])
        latitude, longitude = place_of(exif)
        return small, Facts(
            width=width,
            height=height,
            format=kind,
            taken=taken_of(exif),
            camera=camera_of(exif),
            latitude=latitude,
            longitude=longitude,
            perceptual=perceptual_hash(small),
            pixels=digest_of(small.tobytes()).hex(),
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB from any mode: 16-bit scaled and not clipped, transparency laid over white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.float32)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        image = Image.fromarray((values * (255.0 / top)).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        low, high = float(values.min(initial=0)), float(values.max(initial=1))
        image = Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-9))).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def _register_heif() -> None:
    from pillow_heif import register_heif_opener

    register_heif_opener()
