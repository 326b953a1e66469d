"""From a file's bytes to upright RGB pixels of one size, and the facts worth keeping."""

import hashlib
import importlib
import io
import os
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from mocosearch.errors import Unreadable
from mocosearch.photos.facts import Facts, camera_of, place_of, taken_of
from mocosearch.photos.formats import HEAD, format_of, looks_like_picture
from mocosearch.photos.perceptual import perceptual_hash

Pixels = NDArray[np.uint8]

MAX_PIXELS = 300_000_000
"""Refuse larger pictures from their header: 1.2 GB in Pillow, past any camera's single shot."""
MAX_BYTES = 500_000_000
"""Refuse larger files unread, for they and their pixels are in memory together."""
LEAST_SHARE = 0.5
"""Of the rows of a picture that ends too early; with fewer it is refused."""
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit would come first, and is lower.

_PLUGINS = {
    "AVIF": "AvifImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "JPEG": "JpegImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "PNG": "PngImagePlugin",
    "TIFF": "TiffImagePlugin",
    "WEBP": "WebPImagePlugin",
}
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


@dataclass(frozen=True, slots=True)
class _Source:
    """A picture whose pixels are not decoded yet; `width` and `height` as stored. Where the
    image speaks for itself once it is loaded, `turn` (EXIF's orientation) and `exif` are None.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    turn: int | None = None
    exif: Image.Exif | None = None


def read(path: str) -> bytes | None:
    """A file's bytes, or None where neither content nor name is a picture's.

    Raises Unreadable for an empty file, for one over MAX_BYTES and for one that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            if not looks_like_picture(head, path):
                return None
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise Unreadable(f"over {MAX_BYTES // 10**6} MB")
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
    (Pillow's `draft`): 9 times faster at 12 megapixels. HEIC and RAW are read from the preview
    inside them, where it holds as many.

    A file that ends too early is decoded as far as it goes, if that is LEAST_SHARE of the
    picture, and its facts say so. Raises Unreadable with the reason.
    """
    image, facts = _opened(data, (side, side), squash=True)
    facts = replace(
        facts,
        perceptual=perceptual_hash(image),
        pixels=digest_of(image.tobytes()).hex(),
    )
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
        raise Unreadable("its header cannot be read") from error
    except MemoryError as error:
        raise Unreadable("too large for the memory") from error
    # Decoders raise whatever they like on broken input; here every such file is one refusal.
    except Exception as error:
        raise Unreadable(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _decoded(data: bytes, size: tuple[int, int], squash: bool) -> tuple[Image.Image, Facts]:
    source = _source(data, size)
    truncated = False
    try:
        source.image.load()
    except MemoryError:
        raise
    except Exception as error:
        source, truncated = _source(_ended(data), size), True
        _load_what_is_there(source.image, error)
    # Not before: Pillow decodes a whole PNG to answer.
    exif = _exif(source.image) if source.exif is None else source.exif
    turn = _turn(source.image, exif, data) if source.turn is None else source.turn
    small = _small(source.image, size, squash)
    width, height = source.width, source.height
    if turn in (5, 6, 7, 8):
        width, height = height, width
    if turn in _UPRIGHT:
        small = small.transpose(_UPRIGHT[turn])
    latitude, longitude = place_of(exif)
    return small, Facts(
        width=width,
        height=height,
        format=source.format,
        taken=taken_of(exif),
        camera=camera_of(exif),
        latitude=latitude,
        longitude=longitude,
        truncated=truncated,
    )


def _exif(image: Image.Image) -> Image.Exif:
    """What a picture says of itself; nothing where that is broken, which harms no pixel."""
    try:
        return image.getexif()
    except Exception:
        return Image.Exif()


def _source(data: bytes, size: tuple[int, int]) -> _Source:
    kind = format_of(data)
    if kind is None:
        raise Unreadable("not a picture in any known format")
    if kind == "RAW":
        from mocosearch.photos.raw import open_raw

        raw = open_raw(data, min(size))
        raw.image.draft("RGB", size)
        return _Source(raw.image, raw.width, raw.height, kind, raw.turn, raw.exif)
    _register(kind)
    # No other decoder has a say: Pillow has some that start other programs.
    image = Image.open(io.BytesIO(data), formats=(kind,))
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"{image.width} x {image.height} pixels are over the limit")
    source = _Source(image, *image.size, image.format or kind)
    image.draft("RGB", size)
    return source


def _register(kind: str) -> None:
    """Let Pillow know one format, in place of all of its forty."""
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        # Every worker is busy as it is.
        register_heif_opener(decode_threads=1)
    else:
        importlib.import_module(f"PIL.{_PLUGINS[kind]}")


def _turn(image: Image.Image, exif: Image.Exif, data: bytes) -> int:
    """EXIF's orientation, where the decoder does not apply it already."""
    if image.format == "TIFF":
        return 1
    if image.format == "HEIF":
        # The container's own turn is applied by the decoder, and counts for more.
        start = data.find(b"meta", 0, 4096)
        boxes = data[start : start + int.from_bytes(data[start - 4 : start], "big")]
        inside = b"irot" in boxes or b"imir" in boxes
        return 1 if inside else image.info.get("original_orientation") or 1
    turn = exif.get(ExifTags.Base.Orientation, 1)
    return turn if turn in _UPRIGHT else 1


def _small(image: Image.Image, size: tuple[int, int], squash: bool) -> Image.Image:
    """Shrunk first and its colours set right then: there are fewer of them, in less memory."""
    from mocosearch.photos.colour import shrinkable, to_srgb

    small = shrinkable(image)
    if squash:
        small = small.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    else:
        small.thumbnail(size)
    return to_srgb(small, image.info.get("icc_profile"))


def _ended(data: bytes) -> bytes:
    """With the end that a JPEG lacks: libjpeg shows a progressive one only when it is over."""
    return data + b"\xff\xd9" if data.startswith(b"\xff\xd8") else data


def _load_what_is_there(image: Image.Image, error: Exception) -> None:
    """Decode a picture that breaks off as far as it goes. Raises `error` where that is nothing,
    and Unreadable where it is less than LEAST_SHARE.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    except Exception:
        raise error from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
    rows = np.asarray(image)
    # libjpeg fills up with a grey of its own, Pillow with zeros.
    missing = rows[-1, 0] if image.format in ("JPEG", "MPO") else 0
    there = rows != missing
    share = float(there.reshape(len(rows), -1).any(axis=1).mean())
    if not share:
        raise error
    if share < LEAST_SHARE:
        raise Unreadable(f"cut off: only {share:.0%} of it is there") from error
