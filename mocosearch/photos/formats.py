"""Which files are pictures, and in which format: told by their first bytes; boxes inside some."""

import os
import struct
from collections.abc import Iterator

HEAD = 64
"""Bytes that are enough to tell a format."""

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
    # The size of a bitmap's header is under 256; two letters alone begin many a text.
    (15, b"\0\0\0", "BMP"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF"),
    b"crx ": "RAW",
}
_GENERAL_BRANDS = frozenset({b"mif1", b"mif2", b"msf1"})
"""Of the container, whatever is in it."""
RAW_EXTENSIONS = (
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw"),
)
"""Of cameras' own formats."""
_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif", ".avif"),
    *RAW_EXTENSIONS,
)
_REDUCED, _INNER, _DNG = 254, 330, 50706
"""TIFF's tags NewSubfileType and SubIFDs, and DNGVersion."""


def format_of(data: bytes) -> str | None:
    """Pillow's name of the format, RAW for a camera's, or None; HEAD bytes are enough for all
    but the RAW formats that are TIFFs, which need the file.
    """
    if data[4:8] == b"ftyp":
        return _brand(data)
    for at, signature, name in _SIGNATURES:
        if data.startswith(signature, at) and (name != "BMP" or data.startswith(b"BM")):
            return "RAW" if name == "TIFF" and _is_raw_tiff(data) else name
    return None


def looks_like_picture(head: bytes, path: str) -> bool:
    """Told by content; an extension counts only to call an unknown content a bad picture."""
    if format_of(head) is not None:
        return True
    return os.path.splitext(path)[1].lower() in _EXTENSIONS


def boxes(data: bytes | memoryview, *path: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each box of an ISO media or JPEG 2000 file, or of each in the boxes
    that `path` names from the outermost on (ISO/IEC 14496-12, 4.2).
    """
    rest = memoryview(data)
    while len(rest) >= 8:
        begin = 8
        size, kind = struct.unpack_from(">I4s", rest)
        if size == 1 and len(rest) >= 16:
            begin = 16
            (size,) = struct.unpack_from(">Q", rest, 8)
        # The last one need not say where it ends.
        size = size or len(rest)
        if size < begin:
            return
        content = rest[begin:size]
        if not path:
            yield kind, content
        elif kind == path[0]:
            # This one alone begins with a version, of four bytes.
            yield from boxes(content[4:] if kind == b"meta" else content, *path[1:])
        rest = rest[size:]


def _brand(data: bytes) -> str | None:
    """Of an ISO media file: its own brand first, then those that it is compatible with."""
    end = min(int.from_bytes(data[:4], "big"), HEAD)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    for brand in brands:
        if brand in _BRANDS:
            return _BRANDS[brand]
    return "HEIF" if _GENERAL_BRANDS.intersection(brands) else None


def _is_raw_tiff(data: bytes) -> bool:
    """DNG by its version; CR2 by its mark; NEF, ARW and their like by a reduced first picture
    with the real one inside (TIFF 6.0, supplement 1).
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
