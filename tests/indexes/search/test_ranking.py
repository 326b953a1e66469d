import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.search.ranking import ALPHA, NEIGHBOURS, SAME, best_of, reranked

COUNTS = st.integers(1, 30)


def units(n: int, seed: int = 0, d: int = 6) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, d)) + 0.4
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def plainly(looks: np.ndarray, keys: np.ndarray) -> list[float]:
    """The likeness of each key, one after the other, in float64."""

    def joined(key: np.ndarray) -> np.ndarray:
        near = sorted((float(key @ other), i) for i, other in enumerate(keys))
        made = key.copy()
        for cosine, i in [pair for pair in near if pair[0] < SAME][-NEIGHBOURS:]:
            made += max(cosine, 0.0) ** ALPHA * keys[i]
        return made / np.linalg.norm(made)

    looks, keys = looks.astype(float), keys.astype(float)
    others = [joined(key) for key in keys]
    likeness = []
    for key, other in zip(keys, others, strict=True):
        own = max(float(look @ key) for look in looks)
        moved = max(float(joined(look) @ other) for look in looks)
        likeness.append(moved + own)
    return likeness


@given(COUNTS, st.integers(1, 3), st.integers(0, 10**6))
def test_after_the_nearest_the_order_is_that_of_a_plain_loop(n, looks, seed):
    questions, keys = units(looks, seed), units(n, seed + 1)
    order = reranked(questions, keys)
    assert sorted(order.tolist()) == list(range(n))
    own = (questions @ keys.T).max(0)
    assert own[order[0]] == pytest.approx(own.max(), abs=1e-5)
    told = np.array(plainly(questions, keys))[order]
    assert (np.diff(told[1:]) < 1e-5).all()


@given(COUNTS, st.integers(0, 10**6))
def test_it_does_not_matter_how_the_keys_are_ordered(n, seed):
    question, keys = units(1, seed), units(n, seed + 1)
    mixed = np.random.default_rng(seed).permutation(n)
    told = plainly(question, keys)
    one, other = reranked(question, keys), mixed[reranked(question, keys[mixed])]
    assert np.allclose(np.array(told)[one], np.array(told)[other], atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_the_picture_itself_stays_first(n):
    keys = units(n)
    for row in range(n):
        assert reranked(keys[row : row + 1], keys)[0] == row


def test_one_of_a_group_comes_before_what_is_as_near_alone():
    """Of two keys as far from the question, the one among its neighbours is the better."""
    question = np.array([[1, 0, 0, 0]])
    group = [[0.8, 0.6, 0, 0], [0.8, 0.5, 0.33, 0], [0.7, 0.7, 0.1, 0], [0.6, 0.8, 0, 0]]
    alone = [0.6, 0, 0, -0.8]
    keys = np.array([*group, alone])
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    assert reranked(question.astype("f4"), keys.astype("f4"))[-1] == 4
    assert (question @ keys[3:].T).round(6).tolist() == [[0.6, 0.6]]


def test_several_answers_become_one():
    scores = np.array([[0.9, 0.5, 0.1], [0.7, 0.6, -np.inf]], np.float32)
    ids = np.array([[3, 1, 2], [1, 3, 0]], np.uint64)
    merged, photos = best_of(scores, ids)
    assert photos.tolist() == [3, 1, 2]
    assert merged.tolist() == pytest.approx([0.9, 0.7, 0.1])
    assert [len(part) for part in best_of(scores[:, :0], ids[:, :0])] == [0, 0]
