"""Photos that stand for many, and photos unlike all others, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from light import DIMENSION, light
from PIL import Image, ImageFilter

from indexes import Index, Where
from indexes import pick as module
from indexes.pick import NEIGHBOURS, SLACK, centres, odd_rows, quality_of
from indexes.store.records import Record
from mocosearch.errors import Unsuitable


@st.composite
def unit_keys(draw: st.DrawFn) -> np.ndarray:
    """Unit keys, some of them nearly the same."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    distinct = random.standard_normal((draw(st.integers(1, 30)), draw(st.integers(2, 8))))
    keys = distinct[random.integers(0, len(distinct), draw(st.integers(1, 60)))]
    keys = keys + 0.01 * random.standard_normal(keys.shape)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return keys.astype(draw(st.sampled_from([np.float32, np.float16])))


def equal_quality(rows: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), np.float32)


@given(unit_keys(), st.integers(1, 12), st.integers(0, 99))
def test_each_photo_is_about_the_farthest_from_those_before_it(keys, count, seed):
    quality = np.random.default_rng(seed).random(len(keys)).astype(np.float32)
    rows, scores, photos = centres(keys, count, lambda some: quality[some])
    assert len(rows) == len(set(rows.tolist())) == min(count, len(keys))
    assert photos.sum() == len(keys)
    cosines = keys.astype(np.float32) @ keys.astype(np.float32).T
    for at in range(1, len(rows)):
        before = rows[:at]
        distances = 1 - cosines[:, before].max(1)
        distances[before] = -np.inf
        most = distances.max()
        assert distances[rows[at]] >= most - SLACK * abs(most) - 1e-5
        assert scores[at] == pytest.approx(1 - distances[rows[at]], abs=1e-5)
        near = distances >= most - SLACK * abs(most) + 1e-5
        assert quality[rows[at]] >= quality[near].max(initial=0)


@given(unit_keys(), st.integers(1, 12))
def test_fewer_photos_are_the_first_of_more(keys, count):
    more, *_ = centres(keys, 20, equal_quality)
    fewer, *_ = centres(keys, count, equal_quality)
    assert fewer.tolist() == more[:count].tolist()


@given(unit_keys(), st.integers(1, 12), st.integers(4, 9), st.integers(1, 70))
def test_odd_photos_are_those_of_a_comparison_of_all_pairs(keys, count, members, batch):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("MEMBERS", members), ("BATCH", batch), ("AT_ONCE", 7)):
            patch.setattr(module, name, value)
        rows, scores = odd_rows(keys, count)
    wide = keys.astype(np.float32)
    expected = []
    for row, key in enumerate(wide):
        others = np.sort(np.delete(wide, row, axis=0) @ key)[::-1]
        expected.append(others[:NEIGHBOURS][-1] if len(others) else -1)
    assert len(set(rows.tolist())) == min(count, len(keys))
    # Keys in fp16 are of unit length to this accuracy only.
    assert scores == pytest.approx(np.array(expected)[rows], abs=2e-3)
    assert scores == pytest.approx(np.sort(expected)[:count], abs=2e-3)


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """An index of 5 groups of 20 similar keys, and of one key that is like none."""
    folder = tmp_path_factory.mktemp("pick")
    noise = np.random.default_rng(3).standard_normal((101, DIMENSION))
    keys = np.eye(DIMENSION)[np.arange(100) // 20] + 0.08 * noise[:100]
    keys = np.concatenate([keys, np.eye(DIMENSION)[20:21]]).astype(np.float32)
    names = [folder / f"{number // 20}" / f"{number:03}.jpg" for number in range(101)]
    with Index.create(folder / "index", light(1)) as index:
        index.add(names, keys)
        yield folder, index


def groups_of(picks) -> list[str]:
    return [one.record.paths[0].split("/")[-2] for one in picks]


def test_one_photo_of_each_group_comes_first(clusters):
    folder, index = clusters
    picks = index.pick(6)
    assert sorted(groups_of(picks)) == ["0", "1", "2", "3", "4", "5"]
    assert sum(one.photos for one in picks) == 101
    assert picks == index.pick(6)
    assert len(index.pick(500)) == 101
    some = index.pick(4, Where(under=(str(folder / "2"), str(folder / "3"))))
    assert set(groups_of(some)) == {"2", "3"}
    assert all(one.missing for one in some)


def test_the_photo_that_is_like_none_is_the_oddest(clusters):
    folder, index = clusters
    assert groups_of(index.pick(1, odd=True)) == ["5"]
    within = index.pick(2, Where(not_under=(str(folder / "5"),)), odd=True)
    assert "5" not in groups_of(within)


def test_no_photo_and_no_count(clusters):
    _, index = clusters
    assert index.pick(3, Where(taken=("2020", "2020"))) == []
    assert index.pick(3, Where(taken=("2020", "2020")), odd=True) == []
    with pytest.raises(Unsuitable):
        index.pick(0)


def test_large_and_sharp_photos_are_preferred(index, photos, picture):
    for seed in range(6):
        large = picture(seed, 320, 240)
        large.save(photos / f"{seed} large.jpg", quality=90)
        blurred = large.filter(ImageFilter.GaussianBlur(1.5))
        blurred.save(photos / f"{seed} blurred.jpg", quality=90)
        large.resize((80, 60), Image.Resampling.BOX).save(photos / f"{seed} small.jpg", quality=90)
    index.sync(photos, workers=1)
    names = [one.record.paths[0].rpartition("/")[2] for one in index.pick(6)]
    assert sorted(names) == [f"{seed} large.jpg" for seed in range(6)]


def test_quality_grows_with_side_and_bytes_up_to_a_limit():
    def quality(width, height, size, format="JPEG", truncated=False):
        record = Record(width, height, format, None, size, "00", truncated=truncated)
        return quality_of(record)

    assert quality(400, 300, 30_000) > quality(200, 150, 7_500)
    assert quality(400, 300, 30_000) > quality(400, 300, 20_000)
    assert quality(400, 300, 10**6) == quality(400, 300, 10**7)
    assert quality(4000, 3000, 6 * 10**6) == quality(8000, 6000, 24 * 10**6)
    assert quality(400, 300, 30_000) == quality(400, 300, 15_000, "HEIF")
    assert quality(400, 300, 300_000, "PNG") == quality(400, 300, 400_000, "PNG")
    assert quality(400, 300, 30_000, "MPO") == quality(400, 300, 30_000)
    assert quality(400, 300, 30_000, truncated=True) == quality(0, 0, 30_000) == 0
