import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import MAX_BYTES, MAX_PIXELS, decode, decode_image, digest_of, read

SIDE = 24
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture under each orientation."""


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def oriented(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    return exif


def plain_square(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("turn", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_orientation_comes_upright(picture, turn, kind):
    scene = picture(1, 96, 64)
    stored = scene if STORED[turn] is None else scene.transpose(STORED[turn])
    options = {} if kind == "PNG" else {"quality": 95}
    data = saved(stored, kind, exif=oriented(turn), **options)
    found = decode(data, SIDE)
    assert distance(found.pixels, plain_square(scene)) < 4
    assert (found.facts.width, found.facts.height) == (96, 64)
    assert decode_image(data, 48).size == (48, 32)


@pytest.mark.parametrize("turn", [0, 9, 77, 65535])
def test_an_orientation_of_nonsense_is_ignored(picture, turn):
    scene = picture(1, 96, 64)
    found = decode(saved(scene, exif=oriented(turn)), SIDE)
    assert distance(found.pixels, plain_square(scene)) < 2


def test_pixels_are_a_square_of_bytes(picture):
    found = decode(saved(picture(2)), SIDE)
    assert found.pixels.shape == (SIDE, SIDE, 3)
    assert found.pixels.dtype == np.uint8


def test_floats_are_stretched_between_their_ends():
    ramp = np.linspace(-3, 5, 64, dtype=np.float32)[None].repeat(64, 0)
    found = decode(saved(Image.fromarray(ramp), "TIFF"), 64).pixels[0, :, 0]
    assert np.abs(found - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    found = decode(saved(Image.fromarray(ramp), kind), SIDE)
    wanted = np.asarray(
        Image.fromarray((ramp // 257).astype(np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BILINEAR
        )
    )
    assert np.abs(found.pixels[..., 0].astype(int) - wanted).max() <= 2


@pytest.mark.parametrize(
    ("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("JPEG2000", "<u2")]
)
def test_a_large_picture_of_sixteen_bits(kind, order):
    """Pillow first takes several pixels together, which it cannot do with 16 bits."""
    ramp = np.linspace(0, 65535, 1000).astype(order)[None].repeat(600, 0)
    data = saved(Image.fromarray(ramp), kind)
    wanted = np.linspace(0, 255, 64)
    assert np.abs(decode(data, 64).pixels[..., 0] - wanted).max() <= 3
    assert np.abs(np.asarray(decode_image(data, 64))[..., 0] - wanted).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_a_large_picture_of_any_mode(mode):
    data = saved(Image.new("L", (600, 400), 255).convert(mode), "TIFF")
    assert decode(data, SIDE).pixels.min() > 250
    assert decode_image(data, 48).size == (48, 32)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_white(mode):
    image = Image.new(mode, (40, 40), (0,) * len(mode))
    image.paste((90,) * (len(mode) - 1) + (255,), (0, 0, 20, 40))
    found = decode(saved(image), 40).pixels
    assert (found[:, 25:] == 255).all()
    assert (found[:, :15] == 90).all()


def test_a_transparent_colour_of_a_palette_lies_over_white():
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.paste(1, (0, 0, 20, 40))
    for kind in ("PNG", "GIF"):
        found = decode(saved(image, kind, transparency=0), 40).pixels
        assert (found[:, 25:] == 255).all()
        assert (found[:, :15] == (200, 10, 10)).all()


def test_half_transparency_is_half_white():
    found = decode(saved(Image.new("RGBA", (8, 8), (0, 0, 0, 128))), 8).pixels
    assert np.abs(found.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF"])
def test_formats(picture, kind):
    scene = picture(5)
    found = decode(saved(scene, kind), SIDE)
    assert found.facts.format == kind
    assert (found.facts.width, found.facts.height) == scene.size
    assert distance(found.pixels, plain_square(scene)) < 12


def test_heic(picture):
    heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    heif.from_pillow(picture(5)).save(out, quality=90)
    found = decode(out.getvalue(), SIDE)
    assert distance(found.pixels, plain_square(picture(5))) < 8


@pytest.mark.parametrize("brand", [b"mif1", b"mif2", b"msf1", b"1pic"])
@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_the_first_of_several_brands_may_be_anything(picture, brand, kind):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = saved(picture(5), kind, quality=90)
    found = decode(data[:8] + brand + data[12:], SIDE)
    assert found.facts.format == kind
    assert distance(found.pixels, plain_square(picture(5))) < 8


@pytest.mark.parametrize("turn", [None, 6])
def test_a_heic_is_read_from_its_thumbnail_if_that_is_large_enough(picture, turn):
    """The photo itself is spoilt, so that only the thumbnail can be what is seen."""
    heif = pytest.importorskip("pillow_heif")
    scene = picture(1, 480, 320)
    stored = scene.transpose(STORED[turn]) if turn else scene
    out = io.BytesIO()
    exif = oriented(turn or 1).tobytes()
    heif.from_pillow(stored).save(out, quality=95, thumbnails=[160], exif=exif)
    data = out.getvalue()
    begin = data.index(b"mdat") + 2000
    data = data[:begin] + bytes(10_000) + data[begin + 10_000 :]
    found = decode(data, 96)
    wanted = np.asarray(scene.resize((96, 96), Image.Resampling.BILINEAR))
    assert distance(found.pixels, wanted) < 8
    assert (found.facts.width, found.facts.height) == (480, 320)
    with contextlib.suppress(Unreadable):
        assert distance(decode(data, 300).pixels, np.asarray(scene.resize((300, 300)))) > 8


def test_a_large_jpeg_decoded_small_is_the_same_picture(picture):
    scene = picture(6, 1600, 1200)
    found = decode(saved(scene, "JPEG", quality=92), SIDE)
    assert (found.facts.width, found.facts.height) == (1600, 1200)
    assert distance(found.pixels, plain_square(scene)) < 4


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_becomes_the_square(width, height):
    image = Image.new("RGB", (width, height), (10, 200, 30))
    found = decode(saved(image), SIDE)
    assert (found.pixels == (10, 200, 30)).all()
    assert (found.facts.width, found.facts.height) == (width, height)


CUT = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {"interlace": 0}),
    ("GIF", {"interlace": 1}),
    ("BMP", {}),
    ("TIFF", {}),
]


@pytest.mark.parametrize(("kind", "options"), CUT)
def test_a_cut_file_with_most_of_its_rows_is_a_truncated_picture(picture, kind, options):
    data = saved(picture(7, 400, 300), kind, **options)
    found, whole = decode(data[: int(len(data) * 0.9)], SIDE), decode(data, SIDE)
    assert found.facts.truncated
    assert not whole.facts.truncated
    assert (found.facts.width, found.facts.height) == (400, 300)
    there = found.pixels[SIDE // 4 : SIDE // 2], whole.pixels[SIDE // 4 : SIDE // 2]
    if kind == "GIF" and options["interlace"]:
        return
    assert distance(*there) < 3


@pytest.mark.parametrize(("kind", "options"), CUT)
@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_cut_file_with_few_rows_is_refused(picture, kind, options, share):
    if options.get("progressive"):
        share /= 4
    data = saved(picture(7, 400, 300), kind, **options)
    with pytest.raises(Unreadable) as caught:
        decode(data[: int(len(data) * share)], SIDE)
    assert caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "JPEG"])
def test_rows_inside_a_cut_picture_are_its_own(picture, kind):
    """A night above a town: black rows look like those that Pillow could not fill."""
    night = Image.new("RGB", (400, 300))
    night.paste(picture(7, 400, 100).effect_spread(9), (0, 200))
    data = saved(night, kind, **({"interlace": 0} if kind == "GIF" else {}))
    assert decode(data[: int(len(data) * 0.97)], SIDE).facts.truncated


def test_a_page_that_lacks_its_last_bytes_is_a_truncated_picture(picture):
    """Its white rows are like its last one, and there is nothing that lacks."""
    page = Image.new("RGB", (400, 300), "white")
    page.paste(picture(7, 300, 60), (50, 20))
    found = decode(saved(page, "JPEG")[:-2], SIDE)
    assert found.facts.truncated
    assert (found.pixels[-8:] == 255).all()


@pytest.mark.parametrize("turn", [1, 3, 4])
def test_a_cut_tiff_with_few_rows_is_refused_however_it_is_turned(picture, turn):
    data = saved(picture(7, 400, 300), "TIFF", exif=oriented(turn))
    pixels = picture(7, 400, 300).tobytes()
    begin = data.index(pixels[:400])
    with pytest.raises(Unreadable, match="cut off"):
        decode(data[: begin + len(pixels) // 4], SIDE)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_formats_that_cannot_be_cut_are_refused(picture, kind):
    data = saved(picture(7), kind)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(Unreadable) as caught:
            decode(data[: int(len(data) * share)], SIDE)
        assert caught.value.what


def test_only_the_format_of_the_first_bytes_is_tried(picture):
    """Pillow knows formats that start other programs, and some that take for ever."""
    for kind in ("EPS", "PPM", "TGA", "ICO", "SGI", "PCX"):
        with pytest.raises(Unreadable, match="not a picture"):
            decode(saved(picture(1), kind), SIDE)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3)])
def test_thin_and_tiny_pictures(size):
    image = Image.new("RGB", size, (10, 200, 30))
    for kind in ("PNG", "JPEG", "TIFF"):
        found = decode(saved(image, kind), SIDE)
        assert (found.facts.width, found.facts.height) == size
        assert np.abs(found.pixels.astype(int) - (10, 200, 30)).max() <= 2
        assert max(decode_image(saved(image, kind), 100).size) <= 100


@pytest.mark.parametrize("turn", STORED)
def test_a_tiff_is_turned_once(picture, turn):
    scene = picture(1, 96, 64)
    stored = scene if STORED[turn] is None else scene.transpose(STORED[turn])
    found = decode(saved(stored, "TIFF", exif=oriented(turn)), SIDE)
    assert distance(found.pixels, plain_square(scene)) < 2
    assert (found.facts.width, found.facts.height) == (96, 64)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_broken_exif_costs_no_picture(kind):
    picture = Image.new("RGB", (40, 30), "red")
    data = saved(picture, kind, exif=b"Exif\0\0nonsense", dpi=(72, 72))
    found = decode(data, SIDE)
    assert (found.facts.width, found.facts.height) == (40, 30)
    assert found.facts.taken is None


@pytest.mark.parametrize("where", ["container", "exif", "both"])
@pytest.mark.parametrize("turn", [3, 6, 8])
def test_a_heic_is_turned_once(picture, where, turn):
    heif = pytest.importorskip("pillow_heif")
    scene = picture(1, 192, 128)
    stored = heif.from_pillow(scene.transpose(STORED[turn]))
    out = io.BytesIO()
    # pillow_heif writes an orientation into the container too.
    written = oriented(1 if where == "exif" else turn).tobytes()
    stored.save(out, quality=95, exif=written)
    wanted = oriented(1 if where == "container" else turn).tobytes()
    assert written[6:] in out.getvalue()
    data = out.getvalue().replace(written[6:], wanted[6:])
    assert (b"irot" in data) == (where != "exif")
    found = decode(data, SIDE)
    assert distance(found.pixels, plain_square(scene)) < 8
    assert (found.facts.width, found.facts.height) == (192, 128)


@pytest.mark.parametrize("turn", [3, 6, 8])
def test_a_heic_that_tells_of_its_turn_at_its_end_is_turned_once(picture, turn):
    heif = pytest.importorskip("pillow_heif")
    scene = picture(1, 192, 128)
    out = io.BytesIO()
    stored = heif.from_pillow(scene.transpose(STORED[turn]))
    stored.save(out, quality=95, exif=oriented(turn).tobytes())
    data = out.getvalue()
    begin = data.index(b"meta") - 4
    size = int.from_bytes(data[begin : begin + 4], "big")
    told = data[begin : begin + size]
    # In the place where it was there is a box to be passed over, full of its name.
    room = told[:4] + b"free" + (b"\0\0\0\x08meta" * size)[: size - 8]
    found = decode(data[:begin] + room + data[begin + size :] + told, SIDE)
    assert distance(found.pixels, plain_square(scene)) < 8
    assert (found.facts.width, found.facts.height) == (192, 128)


@pytest.mark.parametrize("where", ["container", "exif", "both"])
@pytest.mark.parametrize("turn", [3, 6, 8])
def test_an_avif_is_turned_as_its_container_says(picture, where, turn):
    """EXIF should tell of no turn in these (ISO/IEC 23000-22:2024, 7.3.10.1), and where it does,
    Pillow and Chrome leave it alone.
    """
    scene = picture(1, 192, 128)
    stored = scene if where == "exif" else scene.transpose(STORED[turn])
    exif = Image.Exif()
    if where != "exif":
        exif[ExifTags.Base.Orientation] = turn
    # Pillow writes an orientation into the container alone, so that another tag takes its place.
    exif[ExifTags.Base.Orientation + 1] = turn
    data = saved(stored, "AVIF", quality=95, exif=exif)
    if where != "container":
        assert data.count(b"\x01\x13\0\x03\0\0\0\1") == 1
        data = data.replace(b"\x01\x13\0\x03\0\0\0\1", b"\x01\x12\0\x03\0\0\0\1")
    assert (b"irot" in data) == (where != "exif")
    found = decode(data, SIDE)
    assert distance(found.pixels, plain_square(scene)) < 8
    assert (found.facts.width, found.facts.height) == (192, 128)


def beside(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A JPEG 2000 file with one more box, before that of its pixels."""
    at = data.index(b"jp2c") - 4
    return data[:at] + struct.pack(">I4s", 8 + len(content), kind) + content + data[at:]


def test_exif_beside_a_jpeg_2000(picture):
    scene, exif = picture(1, 96, 64), oriented(6)
    exif[ExifTags.Base.Model] = "One"
    data = saved(scene.transpose(STORED[6]), "JPEG2000")
    found = decode(beside(data, b"uuid", b"JpgTiffExif->JP2" + exif.tobytes()[6:]), SIDE)
    assert distance(found.pixels, plain_square(scene)) < 2
    assert found.facts.camera == "One"


@pytest.mark.parametrize("tag", [ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo])
def test_a_tiff_with_a_broken_pointer_is_a_picture(picture, tag):
    told = TiffImagePlugin.ImageFileDirectory_v2()
    told.tagtype[tag] = TiffTags.SIGNED_LONG
    told[tag] = -5
    told[ExifTags.Base.Model] = "One"
    found = decode(saved(picture(1), "TIFF", tiffinfo=told), SIDE)
    assert distance(found.pixels, plain_square(picture(1))) < 2
    assert not found.facts.truncated
    assert found.facts.camera == "One"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**30))
def test_a_spoilt_file_decodes_or_is_refused(seed):
    rng = np.random.default_rng(seed)
    kind = ("JPEG", "PNG", "GIF", "BMP", "TIFF")[seed % 5]
    image = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    data = bytearray(saved(image, kind))
    for at in rng.integers(0, len(data), 8):
        data[at] = int(rng.integers(0, 256))
    with contextlib.suppress(Unreadable):
        assert decode(bytes(data), SIDE).pixels.shape == (SIDE, SIDE, 3)


def test_a_bomb_is_refused_from_its_header():
    with pytest.raises(Unreadable, match=r"30000.*30000|limit"):
        decode(png_header(30_000, 30_000), SIDE)


def test_the_limit_is_ours_and_not_pillows():
    """15,000 x 15,000 is under MAX_PIXELS, so that the size is no reason."""
    assert MAX_PIXELS > 15_000**2
    with pytest.raises(Unreadable) as caught:
        decode(png_header(15_000, 15_000), SIDE)
    assert "limit" not in caught.value.what


def test_words_are_no_picture_in_any_format():
    with pytest.raises(Unreadable, match="not a picture"):
        decode(b"just words, and some more of them", SIDE)


def test_read_tells_by_content(picture, tmp_path):
    (tmp_path / "photo.dat").write_bytes(saved(picture(1), "JPEG"))
    (tmp_path / "gif.jpg").write_bytes(saved(picture(1), "GIF"))
    for name in ("photo.dat", "gif.jpg"):
        data = read(str(tmp_path / name))
        assert data == (tmp_path / name).read_bytes()
        decode(data, SIDE)


@pytest.mark.parametrize("name", ["notes.txt", "clip.mp4", "noname"])
def test_read_passes_over_what_is_no_picture(tmp_path, name):
    (tmp_path / name).write_bytes(b"some words that are no picture at all")
    assert read(str(tmp_path / name)) is None


def test_words_named_like_a_photo_are_a_bad_photo(tmp_path):
    (tmp_path / "a.jpg").write_text("words")
    assert read(str(tmp_path / "a.jpg")) == b"words"


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.heic"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(Unreadable, match="empty"):
        read(str(tmp_path / name))


def test_a_file_too_large_to_read_is_refused(tmp_path):
    """Its bytes are never written: the file is one hole."""
    with open(tmp_path / "a.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Unreadable, match="over 500 MB"):
        read(str(tmp_path / "a.jpg"))


def test_a_file_that_is_gone_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="No such file"):
        read(str(tmp_path / "a.jpg"))


def test_upright_keeps_proportions_and_does_not_enlarge(picture):
    assert decode_image(saved(picture(1, 90, 30)), 45).size == (45, 15)
    assert decode_image(saved(picture(1, 20, 10)), 45).size == (20, 10)


def test_digest_is_of_the_content():
    assert digest_of(b"a") == digest_of(b"a") != digest_of(b"b")
    assert len(digest_of(b"")) == 16
