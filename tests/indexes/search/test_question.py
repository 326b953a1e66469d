from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexes import Crop, Question, Weighted
from indexes.search.question import MINUS, ask, unit
from mocosearch.encoder import Encoder
from mocosearch.errors import Mismatch, NoPhotos, NotFound, Unreadable, Unsuitable
from mocosearch.photos import decode


def key_of(encoder: Encoder, path: str | Path) -> np.ndarray:
    pixels = decode(Path(path).read_bytes(), encoder.side).pixels
    return encoder.encode(pixels[None])[0]


def test_a_path_its_bytes_its_pixels_and_its_key_are_one_question(
    encoder: Encoder, fill, tmp_path: Path
) -> None:
    (path,) = fill(tmp_path, [0])
    pixels = decode(path.read_bytes(), encoder.side).pixels
    key = encoder.encode(pixels[None])[0]
    sources = (path, str(path), [path], path.read_bytes(), pixels, pixels[None], key, key[None])
    for source in (*sources, Weighted(path, 3)):
        question = ask(encoder, source)
        assert question.keys == pytest.approx(key[None], abs=2e-3)
        assert question.keys.dtype == np.float32
        assert question.skipped == {}


SHARES = st.floats(0, 1, allow_subnormal=False)


@given(st.integers(1, 400), st.integers(1, 400), st.tuples(SHARES, SHARES, SHARES, SHARES))
def test_a_crop_lies_in_the_picture_or_is_refused(width, height, region) -> None:
    assert Crop(0, 0, 1, 1, relative=True).box(width, height) == (0, 0, width, height)
    try:
        left, top, right, bottom = Crop(*region, relative=True).box(width, height)
    except Unsuitable:
        shown = [min(1 - at, size) for at, size in zip(region[:2], region[2:], strict=True)]
        assert shown[0] * width < 1 or shown[1] * height < 1
        return
    assert (left, top) == (round(region[0] * width), round(region[1] * height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_a_crop_outside_the_picture() -> None:
    assert Crop(90, 90, 30, 40).box(100, 100) == (90, 90, 100, 100)
    with pytest.raises(Unsuitable, match="100 x 50"):
        Crop(0, 60, 30, 40).box(100, 50)
    for wrong in ((-1, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, float("inf")), (float("nan"), 0, 1, 1)):
        with pytest.raises(Unsuitable):
            Crop(*wrong)


def test_a_crop_is_the_picture_of_that_region(encoder, picture, tmp_path: Path) -> None:
    whole = picture(3, 200, 120)
    whole.save(tmp_path / "whole.png")
    whole.crop((40, 24, 140, 96)).save(tmp_path / "part.png")
    part = ask(encoder, tmp_path / "part.png").keys
    for crop in (Crop(40, 24, 100, 72), Crop(0.2, 0.2, 0.5, 0.6, relative=True)):
        assert np.array_equal(ask(encoder, tmp_path / "whole.png", crop=crop).keys, part)


def test_a_crop_needs_a_picture_file(encoder, fill, tmp_path: Path) -> None:
    crop, pixels = Crop(0, 0, 5, 5), np.zeros((encoder.side, encoder.side, 3), np.uint8)
    fill(tmp_path / "photos", [0])
    for source in (tmp_path / "photos", pixels, encoder.encode(pixels[None])):
        with pytest.raises(Unsuitable, match="crop"):
            ask(encoder, source, crop=crop)


def test_weights_and_minus_are_sums_of_keys(encoder: Encoder, fill, tmp_path: Path) -> None:
    a, b, c = fill(tmp_path, range(3))
    keys = {path: key_of(encoder, path) for path in (a, b, c)}
    question = ask(encoder, [a, Weighted(b, 3)], minus=c)
    expected = unit(keys[a] + 3 * keys[b]) - MINUS * keys[c]
    assert question.keys[0] == pytest.approx(unit(expected), abs=2e-3)
    question = ask(encoder, a, minus=[Weighted(str(b), 3), c])
    expected = keys[a] - MINUS * (3 * keys[b] + keys[c]) / 2
    assert question.keys[0] == pytest.approx(unit(expected), abs=2e-3)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_a_weight_is_above_zero(weight: float) -> None:
    with pytest.raises(Unsuitable, match=r"a\.jpg"):
        Weighted("a.jpg", weight)


def test_a_folder_is_the_mean_of_its_pictures(encoder: Encoder, fill, tmp_path: Path) -> None:
    files = fill(tmp_path / "photos", range(5))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    question = ask(encoder, tmp_path / "photos")
    assert list(question.skipped) == [str(tmp_path / "photos" / "bad.jpg")]
    assert question.keys == pytest.approx(ask(encoder, files).keys, abs=2e-3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoPhotos, match="empty"):
        ask(encoder, tmp_path / "empty")


def test_all_orientations(encoder: Encoder, picture, tmp_path: Path) -> None:
    square = picture(5, 64, 64)
    square.save(tmp_path / "square.png")
    keys = ask(encoder, tmp_path / "square.png", orientations=True).keys
    assert len(keys) == 8
    for number, way in enumerate([None, *Image.Transpose]):
        (square if way is None else square.transpose(way)).save(tmp_path / f"{number}.png")
        key = ask(encoder, tmp_path / f"{number}.png").keys[0]
        assert (keys @ key).max() > 0.99, way
    with pytest.raises(Unsuitable, match="orientations"):
        ask(encoder, keys[:1], orientations=True)


def test_a_screenshot_is_searched_with_and_without_borders(
    encoder_folder, picture, tmp_path: Path
) -> None:
    encoder = Encoder.open(encoder_folder)
    photo, other = picture(8, 120, 90), picture(9, 120, 90)
    screen = Image.new("RGB", (120, 240), "white")
    screen.paste(photo, (0, 75))
    photo.save(tmp_path / "photo.png")
    other.save(tmp_path / "other.png")
    screen.save(tmp_path / "screen.png")
    paths = [tmp_path / name for name in ("photo.png", "screen.png", "other.png")]
    plain, both = (ask(encoder, path).keys for path in paths[:2])
    assert (len(plain), len(both)) == (1, 2)
    assert both[0] @ plain[0] < 0.9
    assert both[1] @ plain[0] > 0.99
    assert len(ask(encoder, paths[1], crop=Crop(0, 75, 120, 90)).keys) == 1
    assert len(ask(encoder, paths[1], orientations=True).keys) == 16
    mixed = ask(encoder, paths[1:], minus=paths[0]).keys
    assert mixed.shape == both.shape
    assert np.linalg.norm(mixed, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert len(ask(encoder, paths[0], minus=paths[1]).keys) == 1


def test_refining_moves_towards_and_away() -> None:
    keys = unit(np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32))
    refined = Question(keys[:1]).refine(keys[1:2], keys[2:])
    assert refined.keys == pytest.approx(unit(keys[:1] + keys[1] - MINUS * (keys[2] + keys[3])))
    unchanged = Question(keys[:1]).refine(keys[:0], keys[:0])
    assert unchanged.keys == pytest.approx(keys[:1])


def test_images_that_cannot_be_used(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    for source, error, words in (
        (tmp_path / "absent.jpg", NotFound, r"absent\.jpg"),
        ("a\0b.jpg", NotFound, "no such file"),
        (tmp_path / "notes.txt", Unreadable, r"notes\.txt: not a picture"),
        (b"", Unreadable, "not a picture"),
        (b"\xff\xd8\xff", Unreadable, "the image"),
        ([], Unsuitable, "needs an image"),
        (np.zeros((2, 8, 8, 3), np.uint8), Mismatch, "shape"),
        (np.zeros(encoder.dimension + 1, np.float32), Mismatch, f"dimension {encoder.dimension}"),
        (np.zeros((), np.float32), Mismatch, "shape"),
    ):
        with pytest.raises(error, match=words):
            ask(encoder, source)
