"""Decode a file's bytes to upright RGB pixels of one size, and read its metadata."""

import hashlib
import os
import stat
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mocosearch.errors import Unreadable
from mocosearch.photos.failures import TOO_LARGE, reason_of
from mocosearch.photos.formats import HEAD, boxes, format_of, looks_like_picture
from mocosearch.photos.metadata.facts import (
    Facts,
    camera_of,
    exif_of,
    orientation_of,
    taken_of,
)
from mocosearch.photos.metadata.position import position_of
from mocosearch.photos.perceptual import perceptual_hash
from mocosearch.photos.plugins import open_image
from mocosearch.photos.truncated import load_rows, with_end

Pixels = NDArray[np.uint8]

MAX_PIXELS = 300_000_000
"""Skip pictures that are larger when decoded: 1.2 GB in Pillow, more than any camera's single shot.
Of a JPEG the reduced size counts.

Pillow itself allows twice its MAX_IMAGE_PIXELS for GIF, TIFF and WebP. By default that is less, 179
million; worker processes and `mocosearch query` remove it.
"""
MAX_COEFFICIENTS = 700_000_000
"""Skip larger progressive JPEGs: libjpeg takes two bytes per coefficient at any reduced size."""
MAX_BYTES = 500_000_000
"""Skip larger files unread: the file and its pixels are in memory together."""
PIECE = 1 << 20
"""Bytes of a file that are hashed at once."""

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
    """A decoded file: `pixels` uint8 (side, side, 3) RGB."""

    pixels: Pixels
    facts: Facts


@dataclass(frozen=True, slots=True)
class _Source:
    """A picture with its header read and its pixels not yet decoded.

    `width` and `height` are those stored in the file. `orientation` (EXIF) and `exif` are None if
    they are to be read from the image once it is loaded.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    orientation: int | None = None
    exif: Image.Exif | None = None


def read(path: str) -> bytes | None:
    """A file's bytes, or None if neither its content nor its name is a picture's.

    Raises Unreadable if the file is empty, larger than MAX_BYTES or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            if not looks_like_picture(head, path):
                return None
            status = os.fstat(file.fileno())
            too_large = status.st_size > MAX_BYTES
            if not too_large:
                # A device may never end.
                is_regular = stat.S_ISREG(status.st_mode)
                data = head + (file.read() if is_regular else file.read(MAX_BYTES))
                too_large = len(data) > MAX_BYTES
            if too_large:
                raise Unreadable(f"larger than {MAX_BYTES // 10**6} MB")
    except OSError as error:
        raise Unreadable(reason_of(error)) from error
    if not data:
        raise Unreadable("empty file")
    return data


def digest_of(data: bytes) -> bytes:
    """A 16-byte hash of a file's content (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=16).digest()


def digest_of_file(path: str) -> bytes | None:
    """The digest of a regular file that may be a picture, read in pieces; None of any other, and
    of one that cannot be read.
    """
    if not os.path.isfile(path):
        return None
    content = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            piece = file.read(PIECE)
            if not looks_like_picture(piece[:HEAD], path):
                return None
            while piece:
                content.update(piece)
                piece = file.read(PIECE)
    except OSError:
        return None
    return content.digest()


def decode(data: bytes, side: int) -> Picture:
    """Decode to an upright square of `side` pixels; the whole picture is squashed into it.

    Retrieval needs every part of the picture more than its proportions. JPEGs are decoded at the
    smallest DCT scale that has at least `side` pixels (Pillow's `draft`): 9 times faster at 12
    megapixels. HEIC and RAW are read from their embedded preview if it has as many.

    A truncated file is decoded as far as it goes if that is at least half of the picture
    (`truncated.LEAST_SHARE`), and its facts say so. Raises Unreadable with the reason. Threads may
    decode at the same time.
    """
    image, facts = _decode(data, (side, side), squash=True)
    facts = replace(
        facts,
        perceptual=perceptual_hash(image),
        pixels=digest_of(image.tobytes()).hex(),
    )
    return Picture(np.asarray(image), facts)


def decode_image(data: bytes, longest: int) -> Image.Image:
    """Decode for display: original proportions, upright, RGB, at most `longest` pixels a side.

    Raises Unreadable with the reason.
    """
    return _decode(data, (longest, longest), squash=False)[0]


def _decode(data: bytes, size: tuple[int, int], squash: bool) -> tuple[Image.Image, Facts]:
    try:
        return _decode_unchecked(data, size, squash)
    except Unreadable:
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable("more pixels than Pillow's MAX_IMAGE_PIXELS allows") from error
    except MemoryError as error:
        raise Unreadable(TOO_LARGE) from error
    except OSError as error:
        # Without a number it is Pillow's, about the bytes.
        raise Unreadable(reason_of(error) if error.errno else _text(error)) from error
    # Decoders raise any exception on damaged input; each only means that this file is skipped.
    except Exception as error:
        raise Unreadable(_text(error)) from error


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _decode_unchecked(
    data: bytes, size: tuple[int, int], squash: bool
) -> tuple[Image.Image, Facts]:
    source, truncated = _load(data, size)
    # After loading, because Pillow decodes a whole PNG to find its EXIF.
    exif = exif_of(source.image) if source.exif is None else source.exif
    orientation = source.orientation or _orientation(source.image, exif, data)
    small = _resize(source.image, size, squash)
    width, height = source.width, source.height
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    if orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[orientation])
    latitude, longitude = position_of(exif, source.image.info.get("xmp"))
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


def _load(data: bytes, size: tuple[int, int]) -> tuple[_Source, bool]:
    """The picture with its pixels decoded, and whether the file is truncated."""
    source = _open(data, size)
    try:
        source.image.load()
    except MemoryError:
        raise
    except Exception as error:
        source = _open(with_end(data), size)
        load_rows(source.image, error)
        return source, True
    return source, False


def _open(data: bytes, size: tuple[int, int]) -> _Source:
    kind = format_of(data)
    if kind is None:
        raise Unreadable("not a picture in any known format")
    if kind == "RAW":
        from mocosearch.photos.raw import open_raw

        raw = open_raw(data, min(size))
        return _Source(raw.image, raw.width, raw.height, kind, raw.orientation, raw.exif)
    image = open_image(data, kind)
    source = _Source(image, *image.size, image.format or kind)
    image.draft("RGB", size)
    if image.width * image.height > MAX_PIXELS or _coefficients(source) > MAX_COEFFICIENTS:
        shape = f"{source.width} x {source.height} pixels"
        raise Unreadable(f"{shape}, over the limit of {MAX_PIXELS // 10**6} million")
    return source


def _coefficients(source: _Source) -> float:
    """DCT coefficients that are in memory at once: all of a progressive JPEG, none of others."""
    layers = getattr(source.image, "layer", None)
    if not layers or not source.image.info.get("progressive"):
        return 0
    samples: list[int] = [across * down for _, across, down, _ in layers]
    return source.width * source.height * sum(samples) / max(samples)


def _orientation(image: Image.Image, exif: Image.Exif, data: bytes) -> int:
    """EXIF's orientation, or 1 if the decoder has applied it already."""
    if image.format == "TIFF":
        return 1
    if image.format == "HEIF":
        # The decoder applies the container's own rotation, which takes precedence.
        properties = [kind for kind, _ in boxes(data, b"meta", b"iprp", b"ipco")]
        rotated = b"irot" in properties or b"imir" in properties
        return 1 if rotated else image.info.get("original_orientation") or 1
    return orientation_of(exif) or 1


def _resize(image: Image.Image, size: tuple[int, int], squash: bool) -> Image.Image:
    """Resize first and convert colours then: that takes less time and memory."""
    from mocosearch.photos.colour import to_resizable, to_srgb

    small = to_resizable(image)
    if squash:
        small = small.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    else:
        small.thumbnail(size)
    return to_srgb(small, image.info.get("icc_profile"))
