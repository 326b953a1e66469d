"""Pictures are decoded upright, whatever their file says about it."""

import io

import pytest
from picture_files import (
    AS_STORED,
    SIDE,
    distance,
    orientation_exif,
    plain_square,
    to_bytes,
    with_box,
)
from PIL import ExifTags, Image

from mocosearch.photos.decode import decode, decode_image


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


@pytest.mark.parametrize("orientation", AS_STORED)
def test_a_tiff_is_rotated_once(picture, orientation):
    scene = picture(1, 96, 64)
    stored = scene if AS_STORED[orientation] is None else scene.transpose(AS_STORED[orientation])
    result = decode(to_bytes(stored, "TIFF", exif=orientation_exif(orientation)), SIDE)
    assert distance(result.pixels, plain_square(scene)) < 2
    assert (result.facts.width, result.facts.height) == (96, 64)


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


def test_exif_of_a_jpeg_2000(picture):
    scene, exif = picture(1, 96, 64), orientation_exif(6)
    exif[ExifTags.Base.Model] = "One"
    data = to_bytes(scene.transpose(AS_STORED[6]), "JPEG2000")
    result = decode(with_box(data, b"uuid", b"JpgTiffExif->JP2" + exif.tobytes()[6:]), SIDE)
    assert distance(result.pixels, plain_square(scene)) < 2
    assert result.facts.camera == "One"
