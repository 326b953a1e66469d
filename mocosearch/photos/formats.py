"""Which files are pictures, and in which format: told by their first bytes."""

import os
import struct

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
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1"), "HEIF"),
    **dict.fromkeys((b"msf1", b"mif2"), "HEIF"),
    b"crx ": "RAW",
}
_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif", ".avif"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"),
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


def _brand(data: bytes) -> str | None:
    """Of an ISO media file: its own brand first, then those that it is compatible with."""
    end = min(int.from_bytes(data[:4], "big"), HEAD)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    # A HEIF of AV1 pictures may begin with the general brand.
    names = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if data[8:12] in (b"mif1", b"msf1") and "AVIF" in names:
        return "AVIF"
    return names[0] if names else None


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
