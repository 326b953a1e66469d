import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from mocosearch.photos import decode
from mocosearch.photos.perceptual import perceptual_hash


def bits(image: Image.Image) -> int:
    return int(perceptual_hash(image), 16)


def distance(a: Image.Image, b: Image.Image) -> int:
    return (bits(a) ^ bits(b)).bit_count()


def recompress(image: Image.Image) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=40)
    return Image.open(out)


SAME = {
    "recompressed": recompress,
    "smaller": lambda image: image.resize((48, 40)),
    "larger": lambda image: image.resize((300, 200)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("change", SAME)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_the_hash_of_an_edited_copy_is_close(picture, change, seed):
    scene = picture(seed, 160, 120)
    assert distance(scene, SAME[change](scene)) <= 10


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_hashes_of_other_pictures_are_distant(picture, seed):
    scene = picture(seed, 160, 120)
    assert distance(scene, picture(seed + 1, 160, 120)) > 10
    assert distance(scene, scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 10


@pytest.mark.parametrize("colour", ["black", "white", "teal", (1, 2, 3)])
def test_all_bits_of_a_plain_picture_are_zero(colour):
    assert perceptual_hash(Image.new("RGB", (50, 30), colour)) == "0" * 16


def test_bits_equal_those_of_a_plain_sum(picture):
    """The DCT-II from its definition, one frequency at a time."""
    image = picture(3, 160, 120)
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), float)
    at = (np.arange(32) + 0.5) * np.pi / 32
    order = sorted(((u, v) for u in range(32) for v in range(32)), key=lambda p: (p[0] + p[1], p))
    frequencies = [(grey * np.outer(np.cos(at * u), np.cos(at * v))).sum() for u, v in order[1:65]]
    expected = "".join("1" if f > np.median(frequencies) else "0" for f in frequencies)
    assert f"{bits(image):064b}" == expected


def test_the_hash_is_of_the_upright_picture(picture):
    scene = picture(4, 96, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    hashes = []
    for image, options in (
        (scene, {}),
        (scene.transpose(Image.Transpose.ROTATE_90), {"exif": exif}),
    ):
        out = io.BytesIO()
        image.save(out, "PNG", **options)
        hashes.append(int(decode(out.getvalue(), 64).facts.perceptual, 16))
    assert (hashes[0] ^ hashes[1]).bit_count() <= 4
