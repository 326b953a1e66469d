import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.search.ranking import NEIGHBOURS, best_of, rerank
from mocosearch.encoder.augmentation import ALPHA, SAME

COUNTS = st.integers(1, 30)


def units(n: int, seed: int = 0, d: int = 6) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, d)) + 0.4
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def plainly(views: np.ndarray, keys: np.ndarray) -> list[float]:
    """The score of each key, one after the other, in float64."""

    def augmented(key: np.ndarray) -> np.ndarray:
        near = sorted((float(key @ other), i) for i, other in enumerate(keys))
        total = key.copy()
        for cosine, i in [pair for pair in near if pair[0] < SAME][-NEIGHBOURS:]:
            total += max(cosine, 0.0) ** ALPHA * keys[i]
        return total / np.linalg.norm(total)

    views, keys = views.astype(float), keys.astype(float)
    scores = []
    for key in keys:
        plain = max(float(view @ key) for view in views)
        scores.append(plain + max(float(augmented(view) @ augmented(key)) for view in views))
    return scores


@settings(deadline=None)
@given(COUNTS, st.integers(1, 3), st.integers(0, 10**6))
def test_after_the_nearest_the_order_is_that_of_a_plain_loop(n, views, seed):
    queries, keys = units(views, seed), units(n, seed + 1)
    order = rerank(queries, keys)
    assert sorted(order.tolist()) == list(range(n))
    plain = (queries @ keys.T).max(0)
    assert plain[order[0]] == pytest.approx(plain.max(), abs=1e-5)
    scores = np.array(plainly(queries, keys))[order]
    assert (np.diff(scores[1:]) < 1e-5).all()


@settings(deadline=None)
@given(COUNTS, st.integers(0, 10**6))
def test_it_does_not_matter_how_the_keys_are_ordered(n, seed):
    query, keys = units(1, seed), units(n, seed + 1)
    mixed = np.random.default_rng(seed).permutation(n)
    scores = plainly(query, keys)
    one, other = rerank(query, keys), mixed[rerank(query, keys[mixed])]
    assert np.allclose(np.array(scores)[one], np.array(scores)[other], atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_the_picture_itself_stays_first(n):
    keys = units(n)
    for row in range(n):
        assert rerank(keys[row : row + 1], keys)[0] == row


def test_a_key_with_matching_neighbours_ranks_above_an_equally_close_isolated_one():
    query = np.array([[1, 0, 0, 0]])
    group = [[0.8, 0.6, 0, 0], [0.8, 0.5, 0.33, 0], [0.7, 0.7, 0.1, 0], [0.6, 0.8, 0, 0]]
    alone = [0.6, 0, 0, -0.8]
    keys = np.array([*group, alone])
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    assert rerank(query.astype("f4"), keys.astype("f4"))[-1] == 4
    assert (query @ keys[3:].T).round(6).tolist() == [[0.6, 0.6]]


def test_results_of_several_views_are_merged():
    scores = np.array([[0.9, 0.5, 0.1], [0.7, 0.6, -np.inf]], np.float32)
    ids = np.array([[3, 1, 2], [1, 3, 0]], np.uint64)
    merged, photos = best_of(scores, ids)
    assert photos.tolist() == [3, 1, 2]
    assert merged.tolist() == pytest.approx([0.9, 0.7, 0.1])
    assert [len(part) for part in best_of(scores[:, :0], ids[:, :0])] == [0, 0]
