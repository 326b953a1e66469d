"""Every spelling of a place that cameras and editors write."""

import io
import struct

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from mocosearch.photos import Facts, decode

GPS = ExifTags.GPS
GPS_POINTER = 0x8825
BYTE, ASCII, LONG, RATIONAL, SIGNED, DOUBLE = 1, 2, 4, 5, 10, 12


class R:
    """A rational of EXIF, whose denominator may be 0."""

    def __init__(self, numerator: int, denominator: int = 1) -> None:
        self.numerator, self.denominator = numerator, denominator


SYDNEY = (R(33), R(51), R(2448, 100))
BERLIN = (R(52), R(31), R(12))
NORTH, EAST = 52.52, 13.5
XMP = "<x:xmpmeta><rdf:RDF><rdf:Description {}/></rdf:RDF></x:xmpmeta>"


def save(kind: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 10), "teal").save(out, kind, **options)
    return out.getvalue()


def field(value) -> tuple[int, int, bytes]:
    """Type, count and bytes of a value in EXIF."""
    if isinstance(value, str):
        return ASCII, len(value) + 1, value.encode() + b"\0"
    if isinstance(value, bytes):
        return BYTE, len(value), value
    values = value if isinstance(value, tuple) else (value,)
    if not isinstance(values[0], R):
        return DOUBLE, len(values), struct.pack(f"<{len(values)}d", *values)
    numbers = [number for part in values for number in (part.numerator, part.denominator)]
    kind, code = (SIGNED, "i") if min(numbers) < 0 else (RATIONAL, "I")
    return kind, len(values), struct.pack(f"<{len(numbers)}{code}", *numbers)


def exif_of(gps: dict) -> bytes:
    """TIFF 6.0 with a directory of GPS tags; Pillow would coerce their types when it writes."""
    start = 8 + 2 + 12 + 4
    fields, data = b"", b""
    end = start + 2 + 12 * len(gps) + 4
    for tag, value in sorted(gps.items()):
        kind, count, content = field(value)
        where = content.ljust(4, b"\0")
        if len(content) > 4:
            where = struct.pack("<I", end + len(data))
            data += content
        fields += struct.pack("<HHI", tag, kind, count) + where
    first = struct.pack("<HHHIII", 1, GPS_POINTER, LONG, 1, start, 0)
    return (
        b"Exif\0\0II*\0\x08\0\0\0" + first + struct.pack("<H", len(gps)) + fields + bytes(4) + data
    )


def place(gps: dict, xmp: str = "") -> tuple[float | None, float | None]:
    return of(decode(save(exif=exif_of(gps), xmp=xmp.encode()), 16).facts)


def of(facts: Facts) -> tuple[float | None, float | None]:
    return facts.latitude, facts.longitude


def latitude(value, ref=None) -> dict:
    """EXIF of a latitude; the longitude is 151.2 degrees east."""
    tags = {GPS.GPSLatitude: value, GPS.GPSLongitude: (R(151), R(12), R(0))}
    return tags | {GPS.GPSLongitudeRef: "E"} | ({} if ref is None else {GPS.GPSLatitudeRef: ref})


@pytest.mark.parametrize("ref", ["S", "s", "S\0", "S ", "South", b"S", b"S\0", b"s\0\0"])
def test_a_reference_in_any_spelling(ref):
    assert place(latitude(SYDNEY, ref)) == (-33.8568, 151.2)


@pytest.mark.parametrize("ref", ["N", "n", "N\0", "North", b"N\0", "", "\0", None])
def test_unsigned_degrees_without_a_southern_reference(ref):
    assert place(latitude(BERLIN, ref)) == (NORTH, 151.2)


@pytest.mark.parametrize("ref", [None, "", "N", "S", b"S\0"])
@pytest.mark.parametrize(
    "value",
    [
        (R(-33), R(51), R(2448, 100)),
        (R(-33), R(-51), R(-2448, 100)),
        (R(-338568, 10000), R(0), R(0)),
        (R(-338568, 10000),),
        R(-338568, 10000),
        -33.8568,
        (-33.8568, 0.0, 0.0),
        (R(2**32 - 33), R(51), R(2448, 100)),
        "-33.8568",
        "-33,51.408",
    ],
)
def test_signed_degrees_keep_their_sign(value, ref):
    assert place(latitude(value, ref)) == (-33.8568, 151.2)


@pytest.mark.parametrize(
    "value",
    [
        BERLIN,
        (R(52), R(312, 10), R(0)),
        (R(52), R(312, 10)),
        (R(52), R(312, 10), R(0, 0)),
        (R(5252, 100), R(0), R(0)),
        (R(5252, 100), R(0, 0), R(0, 0)),
        (R(5252, 100),),
        R(5252, 100),
        52.52,
        (52.0, 31.2, 0.0),
        "52.52",
        "52,31.2N",
        "52,31,12N",
        "52.52 N",
        "N 52 31 12",
        "52 deg 31' 12.00\" N",
    ],
)
def test_degrees_minutes_and_seconds_in_any_split(value):
    assert place(latitude(value, "N")) == (NORTH, 151.2)


def test_half_a_degree_south_and_the_equator():
    assert place(latitude((R(0), R(30), R(0)), "S")) == (-0.5, 151.2)
    assert place(latitude((R(0), R(-30), R(0)))) == (-0.5, 151.2)
    assert place(latitude((R(0), R(0), R(0)), "S")) == (0.0, 151.2)
    assert str(place(latitude((R(0), R(0), R(0)), "S"))[0]) == "0.0"


@pytest.mark.parametrize(
    ("east", "ref", "expected"),
    [
        ((R(70), R(30), R(0)), "W", -70.5),
        ((R(70), R(30), R(0)), b"w\0", -70.5),
        ((R(70), R(30), R(0)), "West", -70.5),
        ((R(-70), R(30), R(0)), "E", -70.5),
        ((R(-705, 10),), None, -70.5),
        ((R(70), R(30), R(0)), "East", 70.5),
        ((R(180), R(0), R(0)), "E", 180.0),
        ("70,30W", None, -70.5),
    ],
)
def test_longitudes(east, ref, expected):
    tags = {GPS.GPSLatitude: BERLIN, GPS.GPSLatitudeRef: "N", GPS.GPSLongitude: east}
    tags |= {} if ref is None else {GPS.GPSLongitudeRef: ref}
    assert place(tags) == (NORTH, expected)


@pytest.mark.parametrize(
    ("north", "east", "expected"),
    [
        ("52,31.2N", "13,30.0E", (NORTH, EAST)),
        ("52,31,12N", "13,30,0E", (NORTH, EAST)),
        ("52.52", "13.5", (NORTH, EAST)),
        ("33,51.408S", "70,30W", (-33.8568, -70.5)),
        ("-33.8568", "-70.5", (-33.8568, -70.5)),
        ("0,0.0N", "13,30E", (0.0, EAST)),
        ("0,0N", "0,0E", (None, None)),
        ("52,31.2N", "", (None, None)),
        ("95.0", "13.5", (None, None)),
        ("52,5200", "13,5000", (None, None)),
        ("nowhere", "13.5", (None, None)),
    ],
)
def test_a_place_in_xmp(north, east, expected):
    attributes = XMP.format(f'exif:GPSLatitude="{north}" exif:GPSLongitude="{east}"')
    assert place({}, attributes) == expected
    axes = {"Latitude": north, "Longitude": east}
    elements = (f"<exif:GPS{axis}>{text}</exif:GPS{axis}>" for axis, text in axes.items())
    assert place({}, "\n".join(elements)) == expected


def test_xmp_with_references_of_its_own():
    fields = {"Latitude": "33.8568", "LatitudeRef": "S", "Longitude": "70.5", "LongitudeRef": "W"}
    words = " ".join(f"exif:GPS{name} = '{value}'" for name, value in fields.items())
    assert place({}, XMP.format(words)) == (-33.8568, -70.5)


def test_exif_comes_before_xmp_and_xmp_stands_in_for_broken_exif():
    xmp = XMP.format('exif:GPSLatitude="1.5" exif:GPSLongitude="2.5"')
    assert place(latitude(BERLIN, "N"), xmp) == (NORTH, 151.2)
    assert place(latitude((R(95), R(0), R(0)), "N"), xmp) == (1.5, 2.5)
    assert place({GPS.GPSLatitude: BERLIN}, xmp) == (1.5, 2.5)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_xmp_of_other_formats(kind):
    xmp = XMP.format('exif:GPSLatitude="1.5" exif:GPSLongitude="2.5"')
    if kind == "PNG":
        chunk = PngImagePlugin.PngInfo()
        chunk.add_itxt("XML:com.adobe.xmp", xmp)
        data = save(kind, pnginfo=chunk)
    else:
        data = save(
            kind, **({"xmp": xmp.encode()} if kind == "WEBP" else {"tiffinfo": {700: xmp.encode()}})
        )
    assert of(decode(data, 16).facts) == (1.5, 2.5)
