import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mocosearch.photos.borders import picture_box


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(40, 159), st.integers(40, 159), st.data())
def test_the_box_of_a_picture_inside_borders(seed, height, width, data):
    top, left = data.draw(st.integers(0, 160 - height)), data.draw(st.integers(0, 160 - width))
    chance = np.random.default_rng(seed)
    screen = np.full((160, 160, 3), chance.integers(0, 256, 3), np.uint8)
    screen[top : top + height, left : left + width] = chance.integers(
        0, 256, (height, width, 3), np.uint8
    )
    box = picture_box(screen)
    if min(height, width) > 0.94 * 160:
        assert box is None
    else:
        assert box == pytest.approx((left / 160, top / 160, width / 160, height / 160))


def test_the_clock_and_buttons_of_a_screen_are_not_the_picture(picture):
    screen = Image.new("RGB", (160, 160), (18, 18, 18))
    screen.paste(picture(3, 160, 60), (0, 50))
    for x in (10, 70, 140):
        screen.paste((240, 240, 240), (x, 3, x + 12, 9))
        screen.paste((240, 240, 240), (x, 150, x + 12, 157))
    assert picture_box(np.asarray(screen)) == pytest.approx((0, 50 / 160, 1, 60 / 160))


def test_pictures_without_borders_and_plain_ones_have_no_box(picture):
    assert picture_box(np.asarray(picture(4, 160, 160))) is None
    assert picture_box(np.full((160, 160, 3), 200, np.uint8)) is None
    line = np.full((160, 160, 3), 255, np.uint8)
    line[70:76, 20:140:3] = 0
    assert picture_box(line) is None
