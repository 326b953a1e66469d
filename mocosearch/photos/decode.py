"""From a file's bytes to upright RGB pixels of one size, and the facts worth keeping."""

import hashlib
import importlib
import io
import os
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffTags

from mocosearch.errors import Unreadable
from mocosearch.photos.facts import Facts, camera_of, exif_of, place_of, taken_of, turn_of
from mocosearch.photos.formats import HEAD, boxes, format_of, looks_like_picture
from mocosearch.photos.perceptual import perceptual_hash

Pixels = NDArray[np.uint8]

MAX_PIXELS = 300_000_000
"""Refuse larger pictures from their header: 1.2 GB in Pillow, past any camera's single shot."""
MAX_BYTES = 500_000_000
"""Refuse larger files unread, for they and their pixels are in memory together."""
LEAST_SHARE = 0.5
"""Of the rows of a picture that ends too early; with fewer it is skipped."""
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit would come first, and is lower.

_PLUGINS = {
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


def decode_image(data: bytes, longest: int) -> Image.Image:
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
    except MemoryError as error:
        raise Unreadable("too large for the memory") from error
    # Decoders raise whatever they like on broken input; here every such file is one skipped_file.
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
    exif = exif_of(source.image) if source.exif is None else source.exif
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


def _source(data: bytes, size: tuple[int, int]) -> _Source:
    kind = format_of(data)
    if kind is None:
        raise Unreadable("not a picture in any known format")
    if kind == "RAW":
        from mocosearch.photos.raw import open_raw

        raw = open_raw(data, min(size))
        return _Source(raw.image, raw.width, raw.height, kind, raw.turn, raw.exif)
    image = _image_of(data, kind)
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"{image.width} x {image.height} pixels are over the limit")
    source = _Source(image, *image.size, image.format or kind)
    image.draft("RGB", size)
    return source


def _image_of(data: bytes, kind: str) -> ImageFile.ImageFile:
    """By the decoder that `format_of` names. Raises Unreadable where it makes nothing of it.

    No other has a say, for Pillow has some that start other programs; nor is this one asked
    whether the file is its own, for some look at the first of several brands alone.
    """
    _register(kind)
    start, _ = Image.OPEN[kind]
    try:
        image = start(io.BytesIO(data), "")
    except SyntaxError as error:
        raise Unreadable("its header cannot be read") from error
    if kind == "TIFF":
        _forget_broken_pointers(image)
    if kind == "JPEG2000":
        _take_what_lies_beside(image, data)
    return image


def _forget_broken_pointers(image: Image.Image) -> None:
    """Pillow follows a TIFF's to EXIF and place while it decodes, and gives up at a broken one."""
    exif = exif_of(image)
    for tag in [tag for tag in TiffTags.TAGS_V2_GROUPS if tag in exif]:
        try:
            exif.get_ifd(tag)
        except Exception:
            del exif[tag]


def _take_what_lies_beside(image: Image.Image, data: bytes) -> None:
    """JPEG 2000's colour profile and EXIF, in boxes that Pillow passes over."""
    for kind, content in boxes(data, b"jp2h"):
        # ISO/IEC 15444-1, I.5.3.3; 1 would be one of a few known colour spaces.
        if kind == b"colr" and bytes(content[:1]) == b"\2":
            image.info["icc_profile"] = bytes(content[3:])
    for kind, content in boxes(data):
        if kind == b"uuid" and bytes(content[:16]) == b"JpgTiffExif->JP2":
            image.info["exif"] = bytes(content[16:])


def _register(kind: str) -> None:
    """Let Pillow know one format, in place of all of its forty."""
    # Every worker is busy as it is, so that one thread is enough.
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener(decode_threads=1)
    elif kind == "AVIF":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    else:
        importlib.import_module(f"PIL.{_PLUGINS[kind]}")


def _turn(image: Image.Image, exif: Image.Exif, data: bytes) -> int:
    """EXIF's orientation, where the decoder does not apply it already."""
    if image.format == "TIFF":
        return 1
    if image.format == "HEIF":
        # The container's own turn is applied by the decoder, and counts for more.
        properties = [kind for kind, _ in boxes(data, b"meta", b"iprp", b"ipco")]
        inside = b"irot" in properties or b"imir" in properties
        return 1 if inside else image.info.get("original_orientation") or 1
    return turn_of(exif) or 1


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
    inwards = _inwards(image)
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    except Exception:
        raise error from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
    share = 1 - _missing(image, inwards) / image.height
    if not share:
        raise error
    if share < LEAST_SHARE:
        raise Unreadable(f"cut off: only {share:.0%} of it is there") from error


def _inwards(image: Image.Image) -> slice | None:
    """How to count rows from the one that comes last in the file; None where they come in turns.

    Asked before the picture is loaded, for then its file is forgotten.
    """
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ()
    if image.info.get("interlace") or (image.format == "GIF" and args and args[1]):
        return None
    if image.format == "BMP" and args:
        upside_down = args[-1] == -1
    else:
        upside_down = image.format == "TIFF" and turn_of(exif_of(image)) in (3, 4)
    return slice(None, None, 1 if upside_down else -1)


def _missing(image: Image.Image, inwards: slice | None) -> int:
    """Rows that a picture lacks, told by what fills them: libjpeg's mid-grey, which CMYK turns
    over, or Pillow's zeros.
    """
    rows = np.asarray(image)
    filling = rows[-1, 0] if image.format in ("JPEG", "MPO") else 0
    if not np.isin(filling, (0, 127, 128)).all():
        return 0
    empty = (rows == filling).reshape(len(rows), -1).all(axis=1)
    # Rows inside the picture may look so too, and are its own.
    return int(empty.sum() if inwards is None or empty.all() else empty[inwards].argmin())
