"""Camera RAW, with DNGs built here (Adobe DNG Specification 1.4)."""

import io
import os
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from mocosearch.errors import Unreadable
from mocosearch.photos import decode
from mocosearch.photos.formats import format_of
from mocosearch.photos.workers.worker import read_photo

LONG, SHORT, BYTE, ASCII, RATIONAL, SRATIONAL = 4, 3, 1, 2, 5, 10
FORMS = {LONG: "I", SHORT: "H", BYTE: "B", ASCII: "B", RATIONAL: "II", SRATIONAL: "ii"}
WIDTH, HEIGHT = 128, 96


def ifd(at: int, entries: dict[int, tuple[int, list]]) -> bytes:
    """An image file directory for offset `at`, followed by its long values."""
    head, tail = struct.pack("<H", len(entries)), b""
    after = at + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        form = FORMS[kind]
        data = struct.pack(f"<{form * (len(values) // len(form))}", *values)
        if len(data) > 4:
            head += struct.pack("<HHII", tag, kind, len(values) // len(form), after + len(tail))
            tail += data + bytes(len(data) % 2)
        else:
            head += struct.pack("<HHI4s", tag, kind, len(values), data.ljust(4, b"\0"))
    return head + struct.pack("<I", 0) + tail


def dng(*, orientation: int = 1, preview: bytes | None = None) -> bytes:
    """The sensor's left half is red and its right half blue; the top third is black."""
    scene = np.zeros((HEIGHT, WIDTH), np.uint16)
    scene[HEIGHT // 3 :: 1][::2, : WIDTH // 2 : 2] = 30000
    scene[HEIGHT // 3 :: 1][1::2, WIDTH // 2 + 1 :: 2] = 30000
    pixels = scene.tobytes()
    raw = {
        254: (LONG, [0]),
        256: (LONG, [WIDTH]),
        257: (LONG, [HEIGHT]),
        258: (SHORT, [16]),
        259: (SHORT, [1]),
        262: (SHORT, [32803]),
        273: (LONG, [8]),
        277: (SHORT, [1]),
        278: (LONG, [HEIGHT]),
        279: (LONG, [len(pixels)]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]),
        50714: (LONG, [0]),
        50717: (LONG, [32000]),
    }
    first = {
        271: (ASCII, list(b"Acme\0")),
        272: (ASCII, list(b"One\0")),
        274: (SHORT, [orientation]),
        306: (ASCII, list(b"2019:07:31 23:59:58\0")),
        50706: (BYTE, [1, 4, 0, 0]),
        50708: (ASCII, list(b"Acme One\0")),
        50721: (SRATIONAL, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),
        50728: (RATIONAL, [1, 1, 1, 1, 1, 1]),
        50778: (SHORT, [21]),
    }
    start = 8 + len(pixels)
    if preview is None:
        return b"II*\0" + struct.pack("<I", start) + pixels + ifd(start, first | raw)
    with Image.open(io.BytesIO(preview)) as image:
        size = image.size
    inner = start + len(preview) + len(preview) % 2
    below = ifd(inner, raw)
    first |= {
        254: (LONG, [1]),
        256: (LONG, [size[0]]),
        257: (LONG, [size[1]]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7]),
        262: (SHORT, [6]),
        273: (LONG, [start]),
        277: (SHORT, [3]),
        278: (LONG, [size[1]]),
        279: (LONG, [len(preview)]),
        330: (LONG, [inner]),
    }
    last = inner + len(below)
    body = pixels + preview + bytes(len(preview) % 2) + below + ifd(last, first)
    return b"II*\0" + struct.pack("<I", last) + body


def jpeg(width: int, height: int, **options) -> bytes:
    """A JPEG with its EXIF first, as cameras write it; else LibRaw puts its own EXIF first."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (0, 200, 0)).save(out, "JPEG", quality=95, **options)
    data = out.getvalue()
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[20:] if "exif" in options else data


def test_raw_and_tiff_are_distinguished_by_content():
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF")
    assert format_of(out.getvalue()) == "TIFF"
    assert format_of(dng()) == format_of(dng(preview=jpeg(64, 48))) == "RAW"
    # A NEF or ARW has no DNG version, and its first image is reduced.
    assert (
        format_of(dng(preview=jpeg(64, 48)).replace(struct.pack("<H", 50706), b"\0\xc7")) == "RAW"
    )
    assert format_of(b"II*\0\x10\0\0\0CR\2\0" + bytes(20)) == "RAW"
    assert format_of(b"\0\0\0\x18ftypcrx " + bytes(20)) == "RAW"
    for start in (b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0", b"IIU\0\x18\0"):
        assert format_of(start + bytes(40)) == "RAW"


def test_without_a_preview_the_sensor_data_is_read():
    pytest.importorskip("rawpy")
    result = decode(dng(), 24)
    assert (result.facts.width, result.facts.height, result.facts.format) == (WIDTH, HEIGHT, "RAW")
    assert (result.facts.camera, result.facts.taken) == ("Acme One", "2019-07-31T23:59:58")
    left, right = result.pixels[16, 4].astype(int), result.pixels[16, 20].astype(int)
    assert left[0] > left[2] + 50
    assert right[2] > right[0] + 50
    assert result.pixels[:6].max() < 40


@pytest.mark.parametrize(
    ("orientation", "dark"), [(3, np.s_[18:]), (6, np.s_[:, 18:]), (8, np.s_[:, :6])]
)
def test_sensor_data_is_rotated_once(orientation, dark):
    pytest.importorskip("rawpy")
    result = decode(dng(orientation=orientation), 24)
    assert result.pixels[dark].max() < 40
    size = (WIDTH, HEIGHT) if orientation == 3 else (HEIGHT, WIDTH)
    assert (result.facts.width, result.facts.height) == size


def test_a_preview_is_read_if_it_is_large_enough():
    pytest.importorskip("rawpy")
    for side, has_preview in ((24, True), (64, False)):
        result = decode(dng(preview=jpeg(64, 48)), side)
        is_green = np.abs(result.pixels.astype(int) - (0, 200, 0)).max() < 10
        assert is_green == has_preview
        assert (result.facts.width, result.facts.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc0", b"\xff\xda"])
def test_a_broken_preview_is_replaced_by_the_sensor_data(marker):
    pytest.importorskip("rawpy")
    preview = jpeg(64, 48)
    intact = preview.index(marker) + 30
    broken = preview[:intact] + bytes(len(preview) - intact)
    result = decode(dng(preview=preview).replace(preview, broken), 24)
    assert not result.facts.truncated
    left, right = result.pixels[16, 4].astype(int), result.pixels[16, 20].astype(int)
    assert left[0] > left[2] + 50
    assert right[2] > right[0] + 50


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_preview_with_an_invalid_orientation_has_that_of_the_sensor(orientation):
    pytest.importorskip("rawpy")
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decode(dng(orientation=6, preview=jpeg(64, 48, exif=exif)), 24)
    assert np.abs(result.pixels.astype(int) - (0, 200, 0)).max() < 10
    assert (result.facts.width, result.facts.height) == (HEIGHT, WIDTH)


def test_a_preview_with_broken_exif_is_read():
    pytest.importorskip("rawpy")
    result = decode(dng(orientation=6, preview=jpeg(64, 48, exif=b"Exif\0\0nonsense")), 24)
    assert np.abs(result.pixels.astype(int) - (0, 200, 0)).max() < 10
    assert (result.facts.width, result.facts.height) == (HEIGHT, WIDTH)


def test_without_rawpy_the_reason_tells_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(Unreadable, match=r"mocosearch\[raw\]"):
        decode(dng(), 24)


@pytest.mark.parametrize("name", ["a.nef", "a.CR3", "a.dng"])
def test_a_broken_raw_file_is_skipped(tmp_path, name):
    (tmp_path / name).write_bytes(os.urandom(64))
    assert isinstance(read_photo(str(tmp_path / name), 24), str)
    (tmp_path / name).write_bytes(dng()[:20_000])
    assert isinstance(read_photo(str(tmp_path / name), 24), str)
