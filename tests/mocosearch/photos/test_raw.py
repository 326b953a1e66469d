"""Camera RAW, on DNGs written here by hand (Adobe DNG Specification 1.4)."""

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
from mocosearch.photos.worker import read_photo

LONG, SHORT, BYTE, ASCII, RATIONAL, SRATIONAL = 4, 3, 1, 2, 5, 10
FORMS = {LONG: "I", SHORT: "H", BYTE: "B", ASCII: "B", RATIONAL: "II", SRATIONAL: "ii"}
WIDTH, HEIGHT = 128, 96


def ifd(at: int, entries: dict[int, tuple[int, list]]) -> bytes:
    """One image file directory that will stand at `at`, its long values behind it."""
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


def dng(*, turn: int = 1, preview: bytes | None = None) -> bytes:
    """The left half of the sensor saw red, the right half blue; the top third nothing."""
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
        274: (SHORT, [turn]),
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
    """As cameras write it, with EXIF at once: before any other LibRaw puts one of its own."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (0, 200, 0)).save(out, "JPEG", quality=95, **options)
    data = out.getvalue()
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[20:] if "exif" in options else data


def test_raw_is_told_from_tiff_by_content():
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF")
    assert format_of(out.getvalue()) == "TIFF"
    assert format_of(dng()) == format_of(dng(preview=jpeg(64, 48))) == "RAW"
    # A NEF or ARW: no version of DNG, a reduced picture first.
    assert (
        format_of(dng(preview=jpeg(64, 48)).replace(struct.pack("<H", 50706), b"\0\xc7")) == "RAW"
    )
    assert format_of(b"II*\0\x10\0\0\0CR\2\0" + bytes(20)) == "RAW"
    assert format_of(b"\0\0\0\x18ftypcrx " + bytes(20)) == "RAW"
    for start in (b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0", b"IIU\0\x18\0"):
        assert format_of(start + bytes(40)) == "RAW"


def test_the_sensor_where_there_is_no_preview():
    pytest.importorskip("rawpy")
    found = decode(dng(), 24)
    assert (found.facts.width, found.facts.height, found.facts.format) == (WIDTH, HEIGHT, "RAW")
    assert (found.facts.camera, found.facts.taken) == ("Acme One", "2019-07-31T23:59:58")
    left, right = found.pixels[16, 4].astype(int), found.pixels[16, 20].astype(int)
    assert left[0] > left[2] + 50
    assert right[2] > right[0] + 50
    assert found.pixels[:6].max() < 40


@pytest.mark.parametrize(("turn", "dark"), [(3, np.s_[18:]), (6, np.s_[:, 18:]), (8, np.s_[:, :6])])
def test_the_sensor_is_turned_once(turn, dark):
    pytest.importorskip("rawpy")
    found = decode(dng(turn=turn), 24)
    assert found.pixels[dark].max() < 40
    size = (WIDTH, HEIGHT) if turn == 3 else (HEIGHT, WIDTH)
    assert (found.facts.width, found.facts.height) == size


def test_the_preview_first_if_it_is_large_enough():
    pytest.importorskip("rawpy")
    for side, used in ((24, True), (64, False)):
        found = decode(dng(preview=jpeg(64, 48)), side)
        green = np.abs(found.pixels.astype(int) - (0, 200, 0)).max() < 10
        assert green == used
        assert (found.facts.width, found.facts.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc0", b"\xff\xda"])
def test_a_broken_preview_leaves_the_sensor(marker):
    pytest.importorskip("rawpy")
    preview = jpeg(64, 48)
    kept = preview.index(marker) + 30
    broken = preview[:kept] + bytes(len(preview) - kept)
    found = decode(dng(preview=preview).replace(preview, broken), 24)
    assert not found.facts.truncated
    left, right = found.pixels[16, 4].astype(int), found.pixels[16, 20].astype(int)
    assert left[0] > left[2] + 50
    assert right[2] > right[0] + 50


@pytest.mark.parametrize("said", [0, 9, 77])
def test_a_preview_that_lies_in_no_way_there_is_lies_as_the_sensor(said):
    pytest.importorskip("rawpy")
    exif = Image.Exif()
    exif[0x0112] = said
    found = decode(dng(turn=6, preview=jpeg(64, 48, exif=exif)), 24)
    assert np.abs(found.pixels.astype(int) - (0, 200, 0)).max() < 10
    assert (found.facts.width, found.facts.height) == (HEIGHT, WIDTH)


def test_broken_exif_costs_no_preview():
    pytest.importorskip("rawpy")
    found = decode(dng(turn=6, preview=jpeg(64, 48, exif=b"Exif\0\0nonsense")), 24)
    assert np.abs(found.pixels.astype(int) - (0, 200, 0)).max() < 10
    assert (found.facts.width, found.facts.height) == (HEIGHT, WIDTH)


def test_without_the_extra_the_reason_says_how_to_add_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(Unreadable, match=r"mocosearch\[raw\]"):
        decode(dng(), 24)


@pytest.mark.parametrize("name", ["a.nef", "a.CR3", "a.dng"])
def test_a_broken_raw_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(os.urandom(64))
    assert isinstance(read_photo(str(tmp_path / name), 24), str)
    (tmp_path / name).write_bytes(dng()[:20_000])
    assert isinstance(read_photo(str(tmp_path / name), 24), str)
