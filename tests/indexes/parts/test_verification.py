"""Local features that agree: mirrored ones, windows of photos, and plain margins."""

import numpy as np
import pytest
from PIL import Image
from textures import SIZE, texture

from indexes.parts.verification import Frame, Verifier, mirrored_features

BOX = 90, 60, 140, 120
"""Left, top, width and height of the part."""
PLAIN = 128, 140, 150


def part_of(photo: Image.Image, box: tuple[int, int, int, int] = BOX) -> Image.Image:
    left, top, width, height = box
    return photo.crop((left, top, left + width, top + height))


def assert_at(agreement, box: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> None:
    assert agreement is not None
    expected = np.array(box) / np.array(size * 2)
    assert np.abs(np.array(agreement.box) - expected).max() < 0.02


def test_mirrored_features_are_those_of_the_mirrored_picture():
    picture = texture(1)
    verifier = Verifier(picture)
    places, rows = mirrored_features(verifier.features(picture), picture.width)
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    others, other_rows = verifier.features(mirrored)
    nearest = (rows @ other_rows.T).argmax(1)
    distances = np.linalg.norm(places - others[nearest], axis=1)
    similarities = (rows * other_rows[nearest]).sum(1)
    assert (distances < 1.5).mean() > 0.8
    assert np.median(similarities) > 0.95


@pytest.mark.parametrize("window", [None, (0.1, 0.1, 0.8, 0.8), (0.2, 0.2, 0.6, 0.6)])
def test_a_part_has_the_same_place_in_a_window(window):
    photo = texture(2)
    agreement = Verifier(part_of(photo)).compare(photo, window)
    assert_at(agreement, BOX)
    assert agreement.inside == pytest.approx(1, abs=0.02)


def on_plain(number: int) -> Image.Image:
    """A photo of a small thing before a plain wall."""
    photo = Image.new("RGB", (480, 400), PLAIN)
    photo.paste(part_of(texture(number)), (170, 140))
    return photo


def test_a_plain_margin_that_the_photo_has_belongs_to_the_part():
    photo, box = on_plain(3), (130, 100, 220, 200)
    whole = part_of(photo, box)
    inner = (40 / 220, 40 / 200, 140 / 220, 120 / 200)
    query = part_of(whole, (40, 40, 140, 120))
    assert_at(Verifier(query, frame=Frame(whole, inner)).compare(photo), box, photo.size)


@pytest.mark.parametrize("colour", ["white", "black"])
def test_a_frame_that_the_photo_lacks_does_not(colour):
    photo = on_plain(3)
    query = part_of(photo, (170, 140, 140, 120))
    whole = Image.new("RGB", (220, 200), colour)
    whole.paste(query, (40, 40))
    frame = Frame(whole, (40 / 220, 40 / 200, 140 / 220, 120 / 200))
    assert_at(Verifier(query, frame=frame).compare(photo), (170, 140, 140, 120), photo.size)
