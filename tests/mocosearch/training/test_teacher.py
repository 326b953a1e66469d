"""A teacher's keys: of the right photos, at its own side, computed once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch import Encoder
from mocosearch.encoder.card import NOTHING, OWN
from mocosearch.errors import NotFound, Unsuitable
from mocosearch.photos.cache import PixelCache, pixel_cache
from mocosearch.photos.decode import decode
from mocosearch.photos.scan import FileStat, scan
from mocosearch.training.recipes import SEED, SMALL
from mocosearch.training.teacher import (
    agreement,
    join,
    keys_to_resume,
    recipe_with_teacher,
    teacher_keys,
)

Photos = tuple[list[FileStat], PixelCache, Path]


@pytest.fixture
def photos(tmp_path: Path, fill: Callable[..., list[Path]]) -> Photos:
    """20 photos, a broken one among them, decoded at 24 pixels."""
    files = fill(tmp_path / "photos", range(20))
    files[3].write_bytes(files[3].read_bytes()[:150])
    found = list(scan([str(tmp_path / "photos")]))
    return found, pixel_cache(found, 24, tmp_path / "cache"), tmp_path / "cache"


def test_each_row_is_the_teachers_key_of_that_photo_at_its_own_side(photos, encoder):
    found, cache, folder = photos
    keys = teacher_keys(encoder, found, cache, folder)
    pictures = [decode(Path(path).read_bytes(), encoder.side).pixels for path in cache.paths]
    wanted = encoder.encode(np.stack(pictures))
    assert encoder.card.whitening == OWN
    assert keys.shape == (19, encoder.dimension)
    assert (keys.astype(np.float32) * wanted).sum(1) == pytest.approx(1, abs=2e-3)


def test_keys_are_computed_once(photos, encoder, monkeypatch):
    found, cache, folder = photos
    counts: list[int] = []
    first = teacher_keys(encoder, found, cache, folder, counts.append)
    monkeypatch.setattr(Encoder, "encode", lambda self, pixels: pytest.fail("encoded again"))
    second = teacher_keys(encoder, found, cache, folder, counts.append)
    assert np.array_equal(first, second)
    assert counts == [0, 16, 3, 19]
    assert np.array_equal(keys_to_resume(cache, folder, [encoder.fingerprint]), first)


def test_a_stopped_call_continues_where_it_was(photos, encoder, monkeypatch):
    found, cache, folder = photos

    def stop(n: int) -> None:
        if n:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teacher_keys(encoder, found, cache, folder, stop)
    counts: list[int] = []
    continued = np.array(teacher_keys(encoder, found, cache, folder, counts.append))
    assert counts == [16, 3]
    for file in folder.glob("keys-*"):
        file.unlink()
    assert np.array_equal(continued, teacher_keys(encoder, found, cache, folder))


def test_keys_are_deleted_with_the_last_pixels_of_their_photos(photos, encoder):
    found, cache, folder = photos
    teacher_keys(encoder, found, cache, folder)
    other = pixel_cache(found[:10], 24, folder)
    cache.file.unlink()
    teacher_keys(encoder, found[:10], other, folder)
    assert [file.name.split("-")[1] for file in folder.glob("keys-*")] == [other.name]
    with pytest.raises(NotFound, match="keys are gone"):
        keys_to_resume(cache, folder, [encoder.fingerprint])


def test_a_photo_that_has_gone_since_is_seen_by_its_cached_pixels(photos, encoder):
    found, cache, folder = photos
    before = teacher_keys(encoder, found, cache, folder)
    Path(cache.paths[5]).unlink()
    next(folder.glob("keys-*")).unlink()
    after = teacher_keys(encoder, found, cache, folder).astype(np.float32)
    cosines = (after * before.astype(np.float32)).sum(1)
    assert np.delete(cosines, 5) == pytest.approx(1, abs=2e-3)
    assert cosines[5] > 0.5


def with_whitening(encoder: Encoder, kind: str) -> Encoder:
    return Encoder(replace(encoder.card, whitening=kind), encoder.graph, encoder.weights)


def test_a_whitening_of_other_photos_is_fitted_on_these(photos, encoder):
    found, cache, folder = photos
    own = np.array(teacher_keys(encoder, found, cache, folder), np.float32)
    next(folder.glob("keys-*")).unlink()
    others = with_whitening(encoder, "other photos")
    fitted = np.array(teacher_keys(others, found, cache, folder), np.float32)
    assert np.linalg.norm(fitted, axis=1) == pytest.approx(1, abs=1e-2)
    assert not np.allclose(own @ own.T, fitted @ fitted.T, atol=0.02)


def test_a_teacher_without_a_whitening_needs_photos_to_fit_one_on(photos, encoder):
    found, cache, folder = photos
    with pytest.raises(Unsuitable, match="19 photos are too few"):
        teacher_keys(with_whitening(encoder, NOTHING), found, cache, folder)
    assert not list(folder.glob("keys-*"))


def test_a_teacher_goes_with_its_own_recipe_alone():
    assert recipe_with_teacher("auto", None) == SEED
    assert recipe_with_teacher("seed", 3) == SEED
    assert recipe_with_teacher(replace(SEED, K=64), None).K == 64
    for recipe in ("v2", "small", SMALL):
        with pytest.raises(Unsuitable, match="has no teacher"):
            recipe_with_teacher(recipe, None)
    with pytest.raises(Unsuitable, match="0 epochs"):
        recipe_with_teacher("auto", 0)


def plain_agreement(student: np.ndarray, teacher: np.ndarray, k: int) -> float:
    shares = []
    for row in range(len(student)):
        others = [n for n in range(len(student)) if n != row]
        ours, theirs = (
            set(sorted(others, key=lambda n: -float(keys[n] @ keys[row]))[:k])
            for keys in (student, teacher)
        )
        shares.append(len(ours & theirs) / len(theirs))
    return sum(shares) / len(shares)


@settings(deadline=None)
@given(n=st.integers(2, 12), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_agreement_is_the_plain_loops(n, k, seed):
    rng = np.random.default_rng(seed)
    student, teacher = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (rng.standard_normal((n, d)).astype(np.float32) for d in (5, 7))
    )
    wanted = plain_agreement(student, teacher, min(k, n - 1))
    assert agreement(student, teacher, k) == pytest.approx(wanted)
    assert agreement(teacher, teacher, k) == 1.0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=4), st.integers(0, 99))
def test_the_cosine_of_joined_keys_is_the_mean_of_the_teachers(dimensions, seed):
    chance = np.random.default_rng(seed)
    keys = [chance.standard_normal((5, d)) for d in dimensions]
    keys = [(own / np.linalg.norm(own, axis=1, keepdims=True)).astype(np.float16) for own in keys]
    joined = join(keys).astype(np.float32)
    cosines = [own.astype(np.float32) @ own.astype(np.float32).T for own in keys]
    assert joined @ joined.T == pytest.approx(np.mean(cosines, axis=0), abs=4e-3)
