"""Codes of regions: joined and thinned out without another result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.parts import codec
from indexes.parts.store import ABOUT
from indexes.search.segments import REGIONS, Segment

ROWS, D = 5, 32


@pytest.fixture(scope="module")
def trained():
    return codec.train(features(0, 120))


def features(seed: int, photos: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((photos * ROWS, D)).astype(np.float16)


def segment(trained, some: np.ndarray, first: int) -> Segment:
    ids = np.arange(first, first + len(some) // ROWS, dtype=np.uint64)
    return Segment.view(memoryview(ids.tobytes()), codec.encode(trained, some), ABOUT, REGIONS)


def scores(parts: list[Segment], query: np.ndarray, ids: set[int]) -> list[tuple[int, float]]:
    """All rows of some photos, by photo and score."""
    pairs = []
    for part in parts:
        found, rows = part.search_rows(query, 10_000)
        numbers = part.ids[rows[0][rows[0] >= 0] // part.rows]
        pairs += zip(numbers.tolist(), found[0][rows[0] >= 0].round(5).tolist(), strict=True)
    return sorted(pair for pair in pairs if pair[0] in ids)


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_a_joined_index_finds_what_its_parts_find(trained, data):
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    starts = np.cumsum([1, *sizes[:-1]]).tolist()
    parts = [
        segment(trained, features(start, size), start)
        for start, size in zip(starts, sizes, strict=True)
    ]
    masks = [
        np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool) for n in sizes
    ]
    ids = np.concatenate([part.ids[mask] for part, mask in zip(parts, masks, strict=True)])
    if not len(ids):
        return
    joined = Segment.view(
        memoryview(ids.tobytes()), codec.join(trained, parts, masks), ABOUT, REGIONS
    )
    query = features(99, 1)[:1].astype(np.float32)
    kept = set(ids.tolist())
    assert joined.rows == ROWS
    assert scores([joined], query, kept) == scores(parts, query, kept)
    assert trained.ntotal == 0


def test_a_selection_admits_all_rows_of_some_photos_only(trained):
    part = segment(trained, features(7, 8), 1)
    deleted = np.array([2, 5], np.uint64)
    selection = part.select(deleted)
    found, ids = part.search(features(8, 1)[:1].astype(np.float32), 100, selection)
    assert set(ids[found > -np.inf].tolist()) == {1, 3, 4, 6, 7, 8}
    assert len(ids[found > -np.inf]) == 6 * ROWS


@pytest.mark.parametrize("count", [1, 30])
def test_few_regions_train_a_codec(count, capfd):
    some = features(1, count)
    trained = codec.train(some)
    part = segment(trained, some, 1)
    assert part.search(some[:1].astype(np.float32), 1)[1][0, 0] == 1
    assert not capfd.readouterr().err
