import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import Index
from indexes.search import significance
from indexes.search.significance import Significance


def units(n: int, d: int, seed: int) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, d))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def test_rarity_is_the_share_of_pairs():
    keys = units(300, 8, 0)
    pairs = (keys @ keys.T)[np.triu_indices(300, 1)]
    measured = significance.measure(keys)
    for share in (0.5, 0.1, 0.01, 0.001):
        score = float(np.quantile(pairs, 1 - share))
        assert measured.one_in(score) == pytest.approx(1 / share, rel=0.15)


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 8))
def test_a_higher_score_is_never_less_unusual(a, b, tries):
    measured = significance.measure(units(60, 8, 1))
    low, high = sorted((a, b))
    assert 1 <= measured.one_in(low, tries) <= measured.one_in(high, tries) <= significance.RAREST


def test_two_photos_are_too_few_to_judge():
    measured = significance.measure(units(2, 8, 2))
    assert measured.one_in(1.0) == 1
    assert measured.line([1.0, 0.5], 2) == 2


@pytest.mark.parametrize(("photos", "has_line"), [(25, False), (91, False), (92, True)])
def test_among_few_photos_nothing_is_called_chance(photos, has_line):
    measured = significance.measure(units(photos, 8, 2))
    assert measured.one_in(1.0) > 8
    assert measured.line([0.1, 0.0], photos) == (0 if has_line else 2)


def test_the_line_of_benjamini_and_hochberg():
    halves = Significance([0.1 * i for i in range(11)])  # 0.1 more is twice as unusual
    for photos in (1, 10, 60, 500, 2000):
        scores = [0.95, 0.7, 0.62, 0.31, 0.3]
        passing = [
            rank
            for rank, s in enumerate(scores, 1)
            if photos / halves.one_in(s) <= significance.RATE * rank
        ]
        assert halves.line(scores, photos) == max(passing, default=0)


def test_unrelated_photos_stay_below_the_line():
    """In a collection of unrelated photos the best of all is mostly no better than chance."""
    keys = units(1200, 24, 3)
    measured = significance.measure(keys[:600])
    lines = [
        measured.line(sorted((query @ keys.T).tolist(), reverse=True)[:10], len(keys))
        for query in units(200, 24, 4)
    ]
    assert np.mean([line == 0 for line in lines]) > 0.5
    query = keys[0]
    scores = sorted((query @ keys.T).tolist(), reverse=True)[:10]
    assert measured.line(scores, len(keys)) >= 1


def test_indexing_measures_it(fill, encoder, tmp_path):
    fill(tmp_path / "photos", range(12))
    with Index.create(tmp_path / "index", encoder) as index:
        assert index.significance.one_in(0.9) == 1
        index.sync([tmp_path / "photos"])
        assert index.significance.one_in(1.0) > 8
        stored = index.significance
        index.sync([tmp_path / "photos"])
        assert index.significance == stored


def test_it_is_measured_again_only_after_changes(fill, encoder, tmp_path, monkeypatch):
    measured, runs = significance.measure, []

    def count(keys):
        runs.append(len(keys))
        return measured(keys)

    monkeypatch.setattr(significance, "measure", count)
    files = fill(tmp_path / "photos", range(8))
    with Index.create(tmp_path / "index", encoder) as index:
        for change in (lambda: None, lambda: None, files[0].unlink, lambda: None):
            change()
            index.sync([tmp_path / "photos"])
        fill(tmp_path / "photos", range(20, 21))
        index.sync([tmp_path / "photos"])
    assert runs == [8, 7, 8]
