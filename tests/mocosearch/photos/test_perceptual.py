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


def apart(a: Image.Image, b: Image.Image) -> int:
    return (bits(a) ^ bits(b)).bit_count()


def saved_again(image: Image.Image) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=40)
    return Image.open(out)


SAME = {
    "saved again": saved_again,
    "smaller": lambda image: image.resize((48, 40)),
    "larger": lambda image: image.resize((300, 200)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("change", SAME)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_a_changed_copy_is_near(picture, change, seed):
    scene = picture(seed, 160, 120)
    assert apart(scene, SAME[change](scene)) <= 10


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_other_pictures_are_far(picture, seed):
    scene = picture(seed, 160, 120)
    assert apart(scene, picture(seed + 1, 160, 120)) > 10
    assert apart(scene, scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 10


@pytest.mark.parametrize("colour", ["black", "white", "teal", (1, 2, 3)])
def test_one_colour_has_no_bits(colour):
    assert perceptual_hash(Image.new("RGB", (50, 30), colour)) == "0" * 16


def test_the_bits_are_those_of_a_plain_sum(picture):
    """The DCT-II written out, one frequency at a time."""
    image = picture(3, 160, 120)
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), float)
    at = (np.arange(32) + 0.5) * np.pi / 32
    order = sorted(((u, v) for u in range(32) for v in range(32)), key=lambda p: (p[0] + p[1], p))
    waves = [(grey * np.outer(np.cos(at * u), np.cos(at * v))).sum() for u, v in order[1:65]]
    wanted = "".join("1" if wave > np.median(waves) else "0" for wave in waves)
    assert f"{bits(image):064b}" == wanted


def test_it_is_of_the_upright_picture(picture):
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
