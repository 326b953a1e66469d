"""Every mode and colour space is converted to sRGB."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mocosearch.photos import decode

# Columns are the primaries' XYZ, adapted to D50 (ICC.1:2022, annex E; lindbloom.com).
SRGB = np.array(
    [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)]
).T
P3 = np.array(
    [(0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)]
).T
ADOBE = np.array(
    [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
).T
GAMMA = 2.2
SPACES = {"Display P3": P3, "Adobe RGB": ADOBE}


def profile(primaries: np.ndarray) -> bytes:
    """An ICC profile of three primaries and one gamma (ICC.1:2001-04)."""

    def xyz(values) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(GAMMA * 256), 0)
    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    for name, column in zip(b"rgb", primaries.T, strict=True):
        tags[bytes([name]) + b"XYZ"] = xyz(column)
        tags[bytes([name]) + b"TRC"] = curve
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    header = struct.pack(">I4xI4s4s4s", at + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


def in_srgb(colour, primaries: np.ndarray) -> np.ndarray:
    """From the definitions (IEC 61966-2-1 for the curve)."""
    xyz = primaries @ (np.array(colour) / 255) ** GAMMA
    linear = np.linalg.solve(SRGB, xyz).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def pixel(image: Image.Image, kind: str = "PNG", **options) -> np.ndarray:
    """The colour of a picture of one colour after decoding."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    pixels = decode(out.getvalue(), 8).pixels
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].astype(float)


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=25, deadline=None)
@given(colour=COLOURS)
def test_wide_gamuts_are_converted(space, colour):
    result = pixel(Image.new("RGB", (9, 9), colour), icc_profile=profile(SPACES[space]))
    # The curve is steep near black.
    assert np.abs(result - in_srgb(colour, SPACES[space])).max() <= 4


def test_the_profile_makes_a_difference():
    green = in_srgb((0, 200, 0), ADOBE)
    assert abs(green[0] - 0) < 1 < abs(green[1] - 200)
    red = pixel(Image.new("RGB", (9, 9), (200, 60, 60)), icc_profile=profile(P3))
    assert red[0] > 205


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_format_has_its_profile_applied(kind):
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    options |= {"lossless": True} if kind == "WEBP" else {}
    image = Image.new("RGB", (16, 16), (90, 160, 60))
    result = pixel(image, kind, icc_profile=profile(ADOBE), **options)
    assert np.abs(result - in_srgb((90, 160, 60), ADOBE)).max() <= 4


@pytest.mark.parametrize(
    "broken", [b"x", b"nonsense" * 40, profile(P3)[:200], profile(P3)[:128] + b"\xff" * 300]
)
def test_a_broken_profile_is_ignored(broken):
    assert pixel(Image.new("RGB", (9, 9), (200, 60, 60)), icc_profile=broken).tolist() == [
        200,
        60,
        60,
    ]


@pytest.mark.parametrize(("mode", "colour"), [("L", 77), ("CMYK", (10, 90, 170, 20))])
def test_a_profile_of_another_mode_is_ignored(mode, colour):
    image = Image.new(mode, (9, 9), colour)
    assert np.array_equal(
        pixel(image, "TIFF", icc_profile=profile(P3)), np.asarray(image.convert("RGB"))[0, 0]
    )


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 0), (255, 255, 255)),
        ("RGBA", (0, 100, 200, 51), (204, 224, 244)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 155), (100, 100, 100)),
        ("CMYK", (51, 102, 0, 127), (102, 77, 128)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
        ("I", 77, (77, 77, 77)),
        ("I", 25700, (100, 100, 100)),
        ("I;16", 25700, (100, 100, 100)),
        ("I;16", 200, (1, 1, 1)),
        ("I;16", 65535, (255, 255, 255)),
    ],
)
def test_pixels_of_each_mode(mode, colour, expected):
    assert np.abs(pixel(Image.new(mode, (9, 9), colour), "TIFF") - expected).max() <= 1


@pytest.mark.parametrize("options", [{}, {"transparency": 1}])
def test_palettes(options):
    image = Image.new("P", (9, 9), 1)
    image.putpalette([9, 9, 9, 200, 10, 30])
    expected = (255, 255, 255) if options else (200, 10, 30)
    for kind in ("PNG", "GIF"):
        assert pixel(image, kind, **options).tolist() == list(expected)


def test_a_transparent_colour_of_rgb():
    image = Image.new("RGB", (9, 9), (1, 2, 3))
    assert pixel(image, transparency=(1, 2, 3)).tolist() == [255, 255, 255]


def test_transparency_does_not_bleed_into_its_neighbours():
    """The colour of a transparent pixel is invisible."""
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 64, 32))
    out = io.BytesIO()
    image.save(out, "PNG")
    pixels = decode(out.getvalue(), 5).pixels.astype(int)
    assert (pixels[..., 0] <= pixels[..., 2]).all()


def tiff(data: bytes, bits: tuple[int, ...], photometric: int) -> bytes:
    """A TIFF of 4 x 4 pixels (TIFF 6.0)."""
    count = len(bits)
    values = {256: 4, 257: 4, 258: bits[0], 259: 1, 262: photometric, 273: 0, 277: count, 278: 4}
    values |= {279: len(data)}
    at = 8 + 2 + 12 * len(values) + 4
    values |= {273: at + 2 * count} | ({258: at} if count > 1 else {})
    body = b"II*\0" + struct.pack("<IH", 8, len(values))
    for tag, value in values.items():
        many = tag == 258
        body += struct.pack("<HHII", tag, 3 if many else 4, count if many else 1, value)
    return body + struct.pack(f"<I{count}H", 0, *bits) + data


def test_sixteen_bits_per_channel():
    """0x64ff is 100 of 255."""
    data = struct.pack("<3H", 0x64FF, 0xC8FF, 0x0AFF) * 16
    pixels = decode(tiff(data, (16, 16, 16), 2), 4).pixels
    assert np.abs(pixels.astype(int) - (100, 200, 10)).max() <= 1


def test_sixteen_bits_with_white_as_zero():
    data = struct.pack("<H", 0x64FF) * 16
    assert (decode(tiff(data, (16,), 1), 4).pixels == 100).all()
    assert (decode(tiff(data, (16,), 0), 4).pixels == 155).all()


def test_twelve_bits():
    """Two numbers in three bytes: 0x640 and 0xc80 are 100 and 200 of 255."""
    pixels = decode(tiff(b"\x64\x0c\x80" * 8, (12,), 1), 4).pixels
    assert (pixels[:, ::2] == 100).all()
    assert (pixels[:, 1::2] == 200).all()


def test_the_profile_in_a_jpeg_2000():
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 160, 60)).save(out, "JPEG2000")
    data, profile_box = out.getvalue(), b"\2\0\0" + profile(ADOBE)
    header_at, colour_at = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    size = int.from_bytes(data[header_at : header_at + 4], "big")
    colour = struct.pack(">I4s", 8 + len(profile_box), b"colr") + profile_box
    data = data[:colour_at] + colour + data[colour_at + 15 :]
    data = data[:header_at] + struct.pack(">I", size - 15 + len(colour)) + data[header_at + 4 :]
    pixels = decode(data, 8).pixels
    assert np.abs(pixels - in_srgb((90, 160, 60), ADOBE)).max() <= 4


def test_cmyk_and_ycck_jpegs():
    """Adobe inverts the four colours, and stores YCCK as the YCbCr of C, M and Y."""
    image = Image.new("CMYK", (16, 16), (51, 102, 0, 127))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=100, subsampling=0)
    assert np.abs(decode(out.getvalue(), 8).pixels.astype(int) - (102, 77, 128)).max() <= 2
    # Pillow inverts what it stores, so that the file has the YCbCr of C, M and Y unchanged.
    luma = Image.new("RGB", (16, 16), (51, 102, 0)).convert("YCbCr").getpixel((0, 0))
    image = Image.new("CMYK", (16, 16), (*(255 - value for value in luma), 127))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=100, subsampling=0)
    data = out.getvalue()
    at = data.index(b"Adobe\0") + 11
    assert data[at] == 0
    pixels = decode(data[:at] + b"\2" + data[at + 1 :], 8).pixels
    assert np.abs(pixels.astype(int) - (102, 77, 128)).max() <= 3
