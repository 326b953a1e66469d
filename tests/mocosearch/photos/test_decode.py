import contextlib
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import MAX_BYTES, MAX_PIXELS, decode, decode_image, digest_of, read

SIDE = 24
decode_module = sys.modules[decode.__module__]
AS_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture for each orientation."""


def to_bytes(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def plain_square(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def png_header(width: int, height: int) -> bytes:
    """A PNG of this size without pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", AS_STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_orientation_becomes_upright(picture, orientation, kind):
    scene = picture(1, 96, 64)
    stored = scene if AS_STORED[orientation] is None else scene.transpose(AS_STORED[orientation])
    options = {} if kind == "PNG" else {"quality": 95}
    data = to_bytes(stored, kind, exif=orientation_exif(orientation), **options)
    result = decode(data, SIDE)
    assert distance(result.pixels, plain_square(scene)) < 4
    assert (result.facts.width, result.facts.height) == (96, 64)
    assert decode_image(data, 48).size == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_an_invalid_orientation_is_ignored(picture, orientation):
    scene = picture(1, 96, 64)
    result = decode(to_bytes(scene, exif=orientation_exif(orientation)), SIDE)
    assert distance(result.pixels, plain_square(scene)) < 2


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


TRUNCATABLE = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {"interlace": 0}),
    ("GIF", {"interlace": 1}),
    ("BMP", {}),
    ("TIFF", {}),
]


@pytest.mark.parametrize(("kind", "options"), TRUNCATABLE)
def test_a_file_with_most_of_its_rows_is_a_truncated_picture(picture, kind, options):
    data = to_bytes(picture(7, 400, 300), kind, **options)
    result, complete = decode(data[: int(len(data) * 0.9)], SIDE), decode(data, SIDE)
    assert result.facts.truncated
    assert not complete.facts.truncated
    assert (result.facts.width, result.facts.height) == (400, 300)
    middle = result.pixels[SIDE // 4 : SIDE // 2], complete.pixels[SIDE // 4 : SIDE // 2]
    if kind == "GIF" and options["interlace"]:
        return
    assert distance(*middle) < 3


@pytest.mark.parametrize(("kind", "options"), TRUNCATABLE)
@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_file_with_few_rows_is_skipped(picture, kind, options, share):
    if options.get("progressive"):
        share /= 4
    data = to_bytes(picture(7, 400, 300), kind, **options)
    with pytest.raises(Unreadable) as error_info:
        decode(data[: int(len(data) * share)], SIDE)
    assert error_info.value.what
    assert "\n" not in error_info.value.what


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "JPEG"])
def test_black_rows_of_a_truncated_picture_are_not_missing_rows(picture, kind):
    """A night sky: black rows look like rows that Pillow did not decode."""
    night = Image.new("RGB", (400, 300))
    night.paste(picture(7, 400, 100).effect_spread(9), (0, 200))
    data = to_bytes(night, kind, **({"interlace": 0} if kind == "GIF" else {}))
    assert decode(data[: int(len(data) * 0.97)], SIDE).facts.truncated


def test_a_page_without_its_last_bytes_is_a_truncated_picture(picture):
    """Its white rows equal its last row, and none are missing."""
    page = Image.new("RGB", (400, 300), "white")
    page.paste(picture(7, 300, 60), (50, 20))
    result = decode(to_bytes(page, "JPEG")[:-2], SIDE)
    assert result.facts.truncated
    assert (result.pixels[-8:] == 255).all()


@pytest.mark.parametrize("orientation", [1, 3, 4])
def test_a_tiff_with_few_rows_is_skipped_in_any_orientation(picture, orientation):
    data = to_bytes(picture(7, 400, 300), "TIFF", exif=orientation_exif(orientation))
    pixels = picture(7, 400, 300).tobytes()
    begin = data.index(pixels[:400])
    with pytest.raises(Unreadable, match="truncated"):
        decode(data[: begin + len(pixels) // 4], SIDE)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_truncated_files_of_other_formats_are_skipped(picture, kind):
    data = to_bytes(picture(7), kind)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(Unreadable) as error_info:
            decode(data[: int(len(data) * share)], SIDE)
        assert error_info.value.what


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


@pytest.mark.parametrize("orientation", AS_STORED)
def test_a_tiff_is_rotated_once(picture, orientation):
    scene = picture(1, 96, 64)
    stored = scene if AS_STORED[orientation] is None else scene.transpose(AS_STORED[orientation])
    result = decode(to_bytes(stored, "TIFF", exif=orientation_exif(orientation)), SIDE)
    assert distance(result.pixels, plain_square(scene)) < 2
    assert (result.facts.width, result.facts.height) == (96, 64)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_with_broken_exif_is_decoded(kind):
    picture = Image.new("RGB", (40, 30), "red")
    data = to_bytes(picture, kind, exif=b"Exif\0\0nonsense", dpi=(72, 72))
    result = decode(data, SIDE)
    assert (result.facts.width, result.facts.height) == (40, 30)
    assert result.facts.taken is None


@pytest.mark.parametrize("where", ["container", "exif", "both"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_heic_is_rotated_once(picture, where, orientation):
    heif = pytest.importorskip("pillow_heif")
    scene = picture(1, 192, 128)
    stored = heif.from_pillow(scene.transpose(AS_STORED[orientation]))
    out = io.BytesIO()
    # pillow_heif also writes the orientation into the container.
    exif_bytes = orientation_exif(1 if where == "exif" else orientation).tobytes()
    stored.save(out, quality=95, exif=exif_bytes)
    expected = orientation_exif(1 if where == "container" else orientation).tobytes()
    assert exif_bytes[6:] in out.getvalue()
    data = out.getvalue().replace(exif_bytes[6:], expected[6:])
    assert (b"irot" in data) == (where != "exif")
    result = decode(data, SIDE)
    assert distance(result.pixels, plain_square(scene)) < 8
    assert (result.facts.width, result.facts.height) == (192, 128)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_heic_with_its_metadata_at_the_end_is_rotated_once(picture, orientation):
    heif = pytest.importorskip("pillow_heif")
    scene = picture(1, 192, 128)
    out = io.BytesIO()
    stored = heif.from_pillow(scene.transpose(AS_STORED[orientation]))
    stored.save(out, quality=95, exif=orientation_exif(orientation).tobytes())
    data = out.getvalue()
    begin = data.index(b"meta") - 4
    size = int.from_bytes(data[begin : begin + 4], "big")
    meta = data[begin : begin + size]
    # A free box replaces it, which contains its name many times.
    filler = meta[:4] + b"free" + (b"\0\0\0\x08meta" * size)[: size - 8]
    result = decode(data[:begin] + filler + data[begin + size :] + meta, SIDE)
    assert distance(result.pixels, plain_square(scene)) < 8
    assert (result.facts.width, result.facts.height) == (192, 128)


@pytest.mark.parametrize("where", ["container", "exif", "both"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_avif_is_rotated_by_its_container_only(picture, where, orientation):
    """EXIF should not have an orientation here (ISO/IEC 23000-22:2024, 7.3.10.1). If it has one,
    Pillow and Chrome ignore it.
    """
    scene = picture(1, 192, 128)
    stored = scene if where == "exif" else scene.transpose(AS_STORED[orientation])
    exif = Image.Exif()
    if where != "exif":
        exif[ExifTags.Base.Orientation] = orientation
    # Pillow moves the orientation to the container, so another tag is written in its place.
    exif[ExifTags.Base.Orientation + 1] = orientation
    data = to_bytes(stored, "AVIF", quality=95, exif=exif)
    if where != "container":
        assert data.count(b"\x01\x13\0\x03\0\0\0\1") == 1
        data = data.replace(b"\x01\x13\0\x03\0\0\0\1", b"\x01\x12\0\x03\0\0\0\1")
    assert (b"irot" in data) == (where != "exif")
    result = decode(data, SIDE)
    assert distance(result.pixels, plain_square(scene)) < 8
    assert (result.facts.width, result.facts.height) == (192, 128)


def with_box(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A JPEG 2000 file with another box before that of the pixels."""
    at = data.index(b"jp2c") - 4
    return data[:at] + struct.pack(">I4s", 8 + len(content), kind) + content + data[at:]


def test_exif_of_a_jpeg_2000(picture):
    scene, exif = picture(1, 96, 64), orientation_exif(6)
    exif[ExifTags.Base.Model] = "One"
    data = to_bytes(scene.transpose(AS_STORED[6]), "JPEG2000")
    result = decode(with_box(data, b"uuid", b"JpgTiffExif->JP2" + exif.tobytes()[6:]), SIDE)
    assert distance(result.pixels, plain_square(scene)) < 2
    assert result.facts.camera == "One"


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


def test_read_recognises_pictures_by_content(picture, tmp_path):
    (tmp_path / "photo.dat").write_bytes(to_bytes(picture(1), "JPEG"))
    (tmp_path / "gif.jpg").write_bytes(to_bytes(picture(1), "GIF"))
    for name in ("photo.dat", "gif.jpg"):
        data = read(str(tmp_path / name))
        assert data == (tmp_path / name).read_bytes()
        decode(data, SIDE)


@pytest.mark.parametrize("name", ["notes.txt", "clip.mp4", "noname"])
def test_read_returns_none_for_other_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"some words that are no picture at all")
    assert read(str(tmp_path / name)) is None


def test_read_returns_text_that_is_named_like_a_photo(tmp_path):
    (tmp_path / "a.jpg").write_text("words")
    assert read(str(tmp_path / "a.jpg")) == b"words"


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.heic"])
def test_an_empty_file_is_skipped(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(Unreadable, match="empty"):
        read(str(tmp_path / name))


def test_a_too_large_file_is_skipped(tmp_path):
    """The file is sparse, so that its bytes are never written."""
    with open(tmp_path / "a.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Unreadable, match="larger than 500 MB"):
        read(str(tmp_path / "a.jpg"))


def test_a_device_that_never_ends_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_module, "MAX_BYTES", 1_000_000)
    (tmp_path / "a.jpg").symlink_to("/dev/zero")
    with pytest.raises(Unreadable, match="larger than 1 MB"):
        read(str(tmp_path / "a.jpg"))


def test_a_missing_file_is_skipped(tmp_path):
    with pytest.raises(Unreadable, match="No such file"):
        read(str(tmp_path / "a.jpg"))


def test_decode_image_keeps_proportions_and_does_not_enlarge(picture):
    assert decode_image(to_bytes(picture(1, 90, 30)), 45).size == (45, 15)
    assert decode_image(to_bytes(picture(1, 20, 10)), 45).size == (20, 10)


def test_the_digest_depends_on_the_content():
    assert digest_of(b"a") == digest_of(b"a") != digest_of(b"b")
    assert len(digest_of(b"")) == 16
