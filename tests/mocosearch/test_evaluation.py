import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.evaluation import precision_at


def unit_keys(n: int, d: int, seed: int) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, d))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def reference(keys: np.ndarray, labels: list[str], k: int) -> float:
    shares = []
    for i in range(len(keys)):
        others = [j for j in range(len(keys)) if j != i]
        others.sort(key=lambda j: -float(keys[i].astype(float) @ keys[j].astype(float)))
        best = others[:k]
        shares.append(sum(labels[j] == labels[i] for j in best) / len(best))
    return sum(shares) / len(shares)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**20))
def test_is_a_plain_loop(n, classes, seed):
    keys = unit_keys(n, 8, seed)
    labels = [f"c{c}" for c in np.random.default_rng(seed).integers(0, classes, n)]
    found = precision_at(keys, labels, (1, 3, 10))
    for k in (1, 3, 10):
        assert found[k] == pytest.approx(reference(keys, labels, k))


def test_across_the_blocks_of_queries():
    keys = unit_keys(1500, 4, 7)
    labels = ["left" if key[0] < 0 else "right" for key in keys]
    found = precision_at(keys, labels, (1, 5))
    scores = keys @ keys.T
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)
    same = np.asarray(labels)[order] == np.asarray(labels)[:, None]
    assert found == {k: pytest.approx(same[:, :k].mean()) for k in (1, 5)}


def test_a_photo_is_not_its_own_result():
    assert precision_at(np.eye(2, dtype=np.float32), ["a", "b"], (1,)) == {1: 0.0}


def test_copies_find_each_other():
    keys = np.repeat(unit_keys(10, 16, 1), 2, axis=0)
    assert precision_at(keys, [str(i // 2) for i in range(20)], (1,)) == {1: 1.0}
