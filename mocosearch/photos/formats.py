"""The format of a picture, recognised by its first bytes, and the boxes inside some formats."""

import os
import struct
from collections.abc import Iterator

HEAD = 64
"""Number of bytes that are enough to recognise a format."""

_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"FUJIFILMCCD-RAW", "RAW"),
    (0, b"IIRO", "RAW"),
    (0, b"IIRS", "RAW"),
    (0, b"MMOR", "RAW"),
    (0, b"IIU\0", "RAW"),
    # A bitmap's header has a size below 256; the two letters BM also begin ordinary texts.
    (15, b"\0\0\0", "BMP"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF"),
    b"crx ": "RAW",
}
_GENERAL_BRANDS = frozenset({b"mif1", b"mif2", b"msf1"})
"""Brands of the container, whatever it holds."""
RAW_EXTENSIONS = (
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw"),
)
"""Extensions of the camera makers' formats."""
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif", ".avif"),
    *RAW_EXTENSIONS,
)
FORMATS = frozenset({*(name for _, _, name in _SIGNATURES), *_BRANDS.values()})
"""Pillow's names of all formats, and "RAW"."""
_REDUCED, _INNER, _DNG = 254, 330, 50706
"""The TIFF tags NewSubfileType, SubIFDs and DNGVersion."""


def format_of(data: bytes) -> str | None:
    """Pillow's name of the format, "RAW" for a camera maker's, or None.

    HEAD bytes are enough, except to tell RAW from TIFF, which takes the whole file.
    """
    if data[4:8] == b"ftyp":
        return _brand(data)
    for at, signature, name in _SIGNATURES:
        if data.startswith(signature, at) and (name != "BMP" or data.startswith(b"BM")):
            return "RAW" if name == "TIFF" and _is_raw_tiff(data) else name
    return None


def looks_like_picture(head: bytes, path: str) -> bool:
    """Whether the content or the name is a picture's; with the name alone, it is a damaged one.

    head: the first HEAD bytes.
    """
    if format_of(head) is not None:
        return True
    return os.path.splitext(path)[1].lower() in EXTENSIONS


def boxes(data: bytes | memoryview, *path: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each box in an ISO media or JPEG 2000 file (ISO/IEC 14496-12, 4.2).

    path: kinds of nested boxes, outermost first; then only the boxes inside these.
    """
    rest = memoryview(data)
    while len(rest) >= 8:
        begin = 8
        size, kind = struct.unpack_from(">I4s", rest)
        if size == 1 and len(rest) >= 16:
            begin = 16
            (size,) = struct.unpack_from(">Q", rest, 8)
        # The last box may leave out its size.
        size = size or len(rest)
        if size < begin:
            return
        content = rest[begin:size]
        if not path:
            yield kind, content
        elif kind == path[0]:
            # Only `meta` begins with four bytes of version and flags.
            yield from boxes(content[4:] if kind == b"meta" else content, *path[1:])
        rest = rest[size:]


def _brand(data: bytes) -> str | None:
    """The format of an ISO media file, by its major brand, then by its compatible brands."""
    end = min(int.from_bytes(data[:4], "big"), HEAD)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    for brand in brands:
        if brand in _BRANDS:
            return _BRANDS[brand]
    return "HEIF" if _GENERAL_BRANDS.intersection(brands) else None


def _is_raw_tiff(data: bytes) -> bool:
    """DNG has a version tag and CR2 a mark; in NEF, ARW and similar formats, the first image is
    reduced and the full one is a SubIFD (TIFF 6.0, supplement 1).
    """
    if data[8:10] == b"CR":
        return True
    order = "<" if data.startswith(b"I") else ">"
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        entries = struct.iter_unpack(order + "HHI4s", data[start + 2 : start + 2 + 12 * count])
        tags = {tag: value for tag, _, _, value in entries}
    except struct.error:
        return False
    reduced = tags.get(_REDUCED, bytes(4))[0 if order == "<" else 3] & 1
    return _DNG in tags or bool(reduced and _INNER in tags)
