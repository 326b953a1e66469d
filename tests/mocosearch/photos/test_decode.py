"""Every format and mode becomes the same square of RGB pixels."""

import contextlib
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import (
    AS_STORED,
    SIDE,
    distance,
    orientation_exif,
    plain_square,
    png_header,
    to_bytes,
)
from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import MAX_PIXELS, decode, decode_image

decode_module = sys.modules[decode.__module__]


def test_shape_and_type_of_the_pixels(picture):
    result = decode(to_bytes(picture(2)), SIDE)
    assert result.pixels.shape == (SIDE, SIDE, 3)
    assert result.pixels.dtype == np.uint8


def test_floats_are_scaled_from_their_minimum_to_their_maximum():
    ramp = np.linspace(-3, 5, 64, dtype=np.float32)[None].repeat(64, 0)
    result = decode(to_bytes(Image.fromarray(ramp), "TIFF"), 64).pixels[0, :, 0]
    assert np.abs(result - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    result = decode(to_bytes(Image.fromarray(ramp), kind), SIDE)
    expected = np.asarray(
        Image.fromarray((ramp // 257).astype(np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BILINEAR
        )
    )
    assert np.abs(result.pixels[..., 0].astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("JPEG2000", "<u2")]
)
def test_a_large_picture_of_sixteen_bits(kind, order):
    """Pillow cannot average 16-bit pixels, which it does first when it shrinks by much."""
    ramp = np.linspace(0, 65535, 1000).astype(order)[None].repeat(600, 0)
    data = to_bytes(Image.fromarray(ramp), kind)
    expected = np.linspace(0, 255, 64)
    assert np.abs(decode(data, 64).pixels[..., 0] - expected).max() <= 3
    assert np.abs(np.asarray(decode_image(data, 64))[..., 0] - expected).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_a_large_picture_of_any_mode(mode):
    data = to_bytes(Image.new("L", (600, 400), 255).convert(mode), "TIFF")
    assert decode(data, SIDE).pixels.min() > 250
    assert decode_image(data, 48).size == (48, 32)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_blended_with_white(mode):
    image = Image.new(mode, (40, 40), (0,) * len(mode))
    image.paste((90,) * (len(mode) - 1) + (255,), (0, 0, 20, 40))
    result = decode(to_bytes(image), 40).pixels
    assert (result[:, 25:] == 255).all()
    assert (result[:, :15] == 90).all()


def test_a_transparent_colour_of_a_palette_is_blended_with_white():
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.paste(1, (0, 0, 20, 40))
    for kind in ("PNG", "GIF"):
        result = decode(to_bytes(image, kind, transparency=0), 40).pixels
        assert (result[:, 25:] == 255).all()
        assert (result[:, :15] == (200, 10, 10)).all()


def test_half_transparency_becomes_half_white():
    result = decode(to_bytes(Image.new("RGBA", (8, 8), (0, 0, 0, 128))), 8).pixels
    assert np.abs(result.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF"])
def test_formats(picture, kind):
    scene = picture(5)
    result = decode(to_bytes(scene, kind), SIDE)
    assert result.facts.format == kind
    assert (result.facts.width, result.facts.height) == scene.size
    assert distance(result.pixels, plain_square(scene)) < 12


def test_heic(picture):
    heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    heif.from_pillow(picture(5)).save(out, quality=90)
    result = decode(out.getvalue(), SIDE)
    assert distance(result.pixels, plain_square(picture(5))) < 8


@pytest.mark.parametrize("brand", [b"mif1", b"mif2", b"msf1", b"1pic"])
@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_the_major_brand_may_be_any(picture, brand, kind):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = to_bytes(picture(5), kind, quality=90)
    result = decode(data[:8] + brand + data[12:], SIDE)
    assert result.facts.format == kind
    assert distance(result.pixels, plain_square(picture(5))) < 8


@pytest.mark.parametrize("orientation", [None, 6])
def test_a_heic_is_read_from_its_thumbnail_if_that_is_large_enough(picture, orientation):
    """The photo itself is damaged, so that only the thumbnail can give these pixels."""
    heif = pytest.importorskip("pillow_heif")
    scene = picture(1, 480, 320)
    stored = scene.transpose(AS_STORED[orientation]) if orientation else scene
    out = io.BytesIO()
    exif = orientation_exif(orientation or 1).tobytes()
    heif.from_pillow(stored).save(out, quality=95, thumbnails=[160], exif=exif)
    data = out.getvalue()
    begin = data.index(b"mdat") + 2000
    data = data[:begin] + bytes(10_000) + data[begin + 10_000 :]
    result = decode(data, 96)
    expected = np.asarray(scene.resize((96, 96), Image.Resampling.BILINEAR))
    assert distance(result.pixels, expected) < 8
    assert (result.facts.width, result.facts.height) == (480, 320)
    with contextlib.suppress(Unreadable):
        assert distance(decode(data, 300).pixels, np.asarray(scene.resize((300, 300)))) > 8


def test_a_large_jpeg_at_a_small_scale_is_the_same_picture(picture):
    scene = picture(6, 1600, 1200)
    result = decode(to_bytes(scene, "JPEG", quality=92), SIDE)
    assert (result.facts.width, result.facts.height) == (1600, 1200)
    assert distance(result.pixels, plain_square(scene)) < 4


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_becomes_a_square(width, height):
    image = Image.new("RGB", (width, height), (10, 200, 30))
    result = decode(to_bytes(image), SIDE)
    assert (result.pixels == (10, 200, 30)).all()
    assert (result.facts.width, result.facts.height) == (width, height)


def test_only_known_formats_are_tried(picture):
    """Some of Pillow's decoders start other programs, and some may take for ever."""
    for kind in ("EPS", "PPM", "TGA", "ICO", "SGI", "PCX"):
        with pytest.raises(Unreadable, match="not a picture"):
            decode(to_bytes(picture(1), kind), SIDE)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3)])
def test_thin_and_tiny_pictures(size):
    image = Image.new("RGB", size, (10, 200, 30))
    for kind in ("PNG", "JPEG", "TIFF"):
        result = decode(to_bytes(image, kind), SIDE)
        assert (result.facts.width, result.facts.height) == size
        assert np.abs(result.pixels.astype(int) - (10, 200, 30)).max() <= 2
        assert max(decode_image(to_bytes(image, kind), 100).size) <= 100


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_with_broken_exif_is_decoded(kind):
    picture = Image.new("RGB", (40, 30), "red")
    data = to_bytes(picture, kind, exif=b"Exif\0\0nonsense", dpi=(72, 72))
    result = decode(data, SIDE)
    assert (result.facts.width, result.facts.height) == (40, 30)
    assert result.facts.taken is None


@pytest.mark.parametrize("tag", [ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo])
def test_a_tiff_with_a_broken_pointer_is_decoded(picture, tag):
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[tag] = TiffTags.SIGNED_LONG
    directory[tag] = -5
    directory[ExifTags.Base.Model] = "One"
    result = decode(to_bytes(picture(1), "TIFF", tiffinfo=directory), SIDE)
    assert distance(result.pixels, plain_square(picture(1))) < 2
    assert not result.facts.truncated
    assert result.facts.camera == "One"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**30))
def test_a_damaged_file_is_decoded_or_skipped(seed):
    rng = np.random.default_rng(seed)
    kind = ("JPEG", "PNG", "GIF", "BMP", "TIFF")[seed % 5]
    image = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    data = bytearray(to_bytes(image, kind))
    for at in rng.integers(0, len(data), 8):
        data[at] = int(rng.integers(0, 256))
    with contextlib.suppress(Unreadable):
        assert decode(bytes(data), SIDE).pixels.shape == (SIDE, SIDE, 3)


def test_too_many_pixels_are_skipped_by_the_header():
    with pytest.raises(Unreadable, match=r"30000.*30000|limit"):
        decode(png_header(30_000, 30_000), SIDE)


@pytest.mark.parametrize("progressive", [False, True])
def test_the_limit_of_a_jpeg_counts_its_reduced_pixels(picture, monkeypatch, progressive):
    file = io.BytesIO()
    picture(1, 1600, 1200).save(file, "JPEG", progressive=progressive)
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 100_000)
    facts = decode(file.getvalue(), SIDE).facts
    assert (facts.width, facts.height) == (1600, 1200)
    with pytest.raises(Unreadable, match="1600 x 1200 pixels, over the limit"):
        decode_image(file.getvalue(), 1600)
    with pytest.raises(Unreadable, match="over the limit"):
        decode(to_bytes(picture(1, 1600, 1200), "PNG"), SIDE)
    monkeypatch.setattr(decode_module, "MAX_COEFFICIENTS", 1_000_000)
    if progressive:
        with pytest.raises(Unreadable, match="over the limit"):
            decode(file.getvalue(), SIDE)
    else:
        decode(file.getvalue(), SIDE)


def test_pillows_limit_does_not_apply_to_png():
    """15,000 x 15,000 pixels are below MAX_PIXELS, and the reason must be another."""
    assert MAX_PIXELS > 15_000**2
    with pytest.raises(Unreadable) as error_info:
        decode(png_header(15_000, 15_000), SIDE)
    assert "limit" not in error_info.value.what


def test_text_is_not_a_picture():
    with pytest.raises(Unreadable, match="not a picture"):
        decode(b"just words, and some more of them", SIDE)


def test_decode_image_keeps_proportions_and_does_not_enlarge(picture):
    assert decode_image(to_bytes(picture(1, 90, 30)), 45).size == (45, 15)
    assert decode_image(to_bytes(picture(1, 20, 10)), 45).size == (20, 10)
