import io
import random
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from mocosearch.errors import Unreadable
from mocosearch.photos import Facts, decode, scan

BASE, GPS = ExifTags.Base, ExifTags.GPS


def facts(tags=None, details=None, gps=None, kind="JPEG") -> Facts:
    """The facts of a small picture with these EXIF tags."""
    exif = Image.Exif()
    exif.update(tags or {})
    if details:
        exif[ExifTags.IFD.Exif] = details
    if gps:
        exif[ExifTags.IFD.GPSInfo] = gps
    out = io.BytesIO()
    Image.new("RGB", (20, 10), "teal").save(out, kind, exif=exif)
    return decode(out.getvalue(), 16).facts


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_time_of_capture(kind):
    details = {BASE.DateTimeOriginal: "2019:07:31 23:59:58"}
    assert facts(details=details, kind=kind).taken == "2019-07-31T23:59:58"


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("+02:00", "+02:00"),
        ("-07:30", "-07:30"),
        ("Z", "+00:00"),
        ("+14:00", "+14:00"),
        ("+25:00", ""),
        ("+15:00", ""),
        ("summer", ""),
        ("", ""),
    ],
)
def test_a_valid_offset_is_part_of_the_time(offset, expected):
    details = {BASE.DateTimeOriginal: "2019:07:31 23:59:58", BASE.OffsetTimeOriginal: offset}
    assert facts(details=details).taken == "2019-07-31T23:59:58" + expected


def test_each_time_has_its_own_offset():
    details = {
        BASE.DateTimeOriginal: "0000:00:00 00:00:00",
        BASE.OffsetTimeOriginal: "+09:00",
        BASE.OffsetTime: "+01:00",
    }
    result = facts({BASE.DateTime: "2001:02:03 04:05:06"}, details)
    assert result.taken == "2001-02-03T04:05:06+01:00"


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "1066:01:01 00:00:00",
        "9999:01:01 00:00:00",
        "2019:13:01 00:00:00",
        "    :  :     :  :  ",
        "yesterday",
        "",
    ],
)
def test_an_invalid_time_is_none(text):
    assert facts({BASE.DateTime: text}).taken is None


@pytest.mark.parametrize("year", [1970, 1999, 2026, 2050])
def test_a_date_does_not_depend_on_the_clock(monkeypatch, year):
    """With a clock in 1970, every later photo would lose its date."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(1970, 1, 1, tzinfo=tz)

    monkeypatch.setattr("mocosearch.photos.metadata.facts.datetime", Clock)
    assert facts({BASE.DateTime: f"{year}:02:03 04:05:06"}).taken == f"{year}-02-03T04:05:06"


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("EASTMAN KODAK COMPANY", "KODAK DC240", "KODAK DC240"),
        ("Canon\0\0", "  EOS\n5D ", "Canon EOS 5D"),
        ("", "C2000Z", "C2000Z"),
        ("OLYMPUS", "", "OLYMPUS"),
        ("", "", None),
        (None, None, None),
    ],
)
def test_the_make_is_not_repeated(make, model, expected):
    tags = {BASE.Make: make, BASE.Model: model}
    assert facts({k: v for k, v in tags.items() if v is not None}).camera == expected


def degrees(value: float) -> tuple[IFDRational, ...]:
    whole, rest = divmod(abs(value), 1)
    minutes, rest = divmod(rest * 60, 1)
    return (
        IFDRational(int(whole), 1),
        IFDRational(int(minutes), 1),
        IFDRational(round(rest * 60 * 10000), 10000),
    )


def gps(latitude: float, longitude: float) -> dict:
    return {
        GPS.GPSLatitudeRef: "S" if latitude < 0 else "N",
        GPS.GPSLatitude: degrees(latitude),
        GPS.GPSLongitudeRef: "W" if longitude < 0 else "E",
        GPS.GPSLongitude: degrees(longitude),
    }


@settings(max_examples=40, deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_position(latitude, longitude):
    result = facts(gps=gps(latitude, longitude))
    if result.latitude is None:
        assert max(abs(latitude), abs(longitude)) < 1e-7
    else:
        assert abs(result.latitude - latitude) < 1e-6
        assert abs(result.longitude - longitude) < 1e-6


@pytest.mark.parametrize(
    "broken",
    [
        gps(0, 0),
        gps(95, 10),
        gps(10, 200),
        {GPS.GPSLatitude: degrees(10)},
        gps(10, 10) | {GPS.GPSLatitude: (IFDRational(0, 0),) * 3},
        gps(10, 10) | {GPS.GPSLatitude: ()},
    ],
)
def test_an_invalid_position_is_none(broken):
    result = facts(gps=broken)
    assert (result.latitude, result.longitude) == (None, None)


def test_the_digest_of_the_pixels_ignores_metadata(picture):
    digests = []
    for tags in ({}, {BASE.Model: "A"}, {BASE.Orientation: 3}):
        exif = Image.Exif()
        exif.update(tags)
        out = io.BytesIO()
        picture(1).save(out, "JPEG", exif=exif)
        digests.append(decode(out.getvalue(), 16).facts.pixels)
    assert digests[0] == digests[1] != digests[2]


def test_a_picture_with_broken_exif_is_decoded(picture):
    """Random bytes of the EXIF segment are replaced, 300 times."""
    exif = Image.Exif()
    exif.update({BASE.Model: "A", BASE.Orientation: 6, BASE.DateTime: "2001:02:03 04:05:06"})
    exif[ExifTags.IFD.Exif] = {BASE.DateTimeOriginal: "2019:07:31 23:59:58"}
    exif[ExifTags.IFD.GPSInfo] = gps(12.5, -70)
    out = io.BytesIO()
    picture(1).save(out, "JPEG", exif=exif)
    data = out.getvalue()
    start = data.index(b"Exif\0\0") + 6
    chance = random.Random(1)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 4, 40))):
            damaged[start + chance.randrange(len(exif.tobytes()) - 6)] = chance.randrange(256)
        assert decode(bytes(damaged), 16).pixels.shape == (16, 16, 3)


def test_real_cameras(data):
    """Counted by hand: most files have a time and a camera, 18 have a position."""
    results = []
    for file in scan([str(data / "camera")]):
        try:
            results.append(decode(Path(file.path).read_bytes(), 16).facts)
        except Unreadable:
            continue
    assert sum(f.taken is not None for f in results) >= 65
    assert sum(f.camera is not None for f in results) >= 58
    assert sum(f.latitude is not None for f in results) >= 18
    assert "Canon PowerShot SD300" in {f.camera for f in results}
