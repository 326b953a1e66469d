import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.errors import Unsuitable
from mocosearch.evaluation import effective_rank, precision_at, ranking_metrics, recall_at_1


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
def test_precision_matches_a_plain_loop(n, classes, seed):
    keys = unit_keys(n, 8, seed)
    labels = [f"c{c}" for c in np.random.default_rng(seed).integers(0, classes, n)]
    actual = precision_at(keys, labels, (1, 3, 10))
    for k in (1, 3, 10):
        assert actual[k] == pytest.approx(reference(keys, labels, k))


def test_precision_with_several_blocks_of_queries():
    keys = unit_keys(1500, 4, 7)
    labels = ["left" if key[0] < 0 else "right" for key in keys]
    actual = precision_at(keys, labels, (1, 5))
    scores = keys @ keys.T
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)
    same = np.asarray(labels)[order] == np.asarray(labels)[:, None]
    assert actual == {k: pytest.approx(same[:, :k].mean()) for k in (1, 5)}


def test_a_photo_is_not_its_own_result():
    assert precision_at(np.eye(2, dtype=np.float32), ["a", "b"], (1,)) == {1: 0.0}


def test_copies_retrieve_each_other():
    keys = np.repeat(unit_keys(10, 16, 1), 2, axis=0)
    assert precision_at(keys, [str(i // 2) for i in range(20)], (1,)) == {1: 1.0}


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 30), st.integers(1, 4), st.integers(0, 2**20))
def test_ranking_metrics_match_a_plain_loop(n, classes, seed):
    keys = unit_keys(n, 8, seed)
    labels = np.random.default_rng(seed).integers(0, classes, n).tolist()
    if max(map(labels.count, labels)) < 2:
        with pytest.raises(Unsuitable):
            ranking_metrics(keys, labels)
        return
    precisions, recalls = [], []
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -float(keys[i] @ keys[j]))
        right = [labels[j] == labels[i] for j in others]
        if any(right):
            at = [sum(right[: r + 1]) / (r + 1) for r in range(len(right)) if right[r]]
            precisions.append(sum(at) / len(at))
            recalls.append(sum(right[:5]) / sum(right))
    actual = ranking_metrics(keys, labels, (5,))
    assert actual.average_precision == pytest.approx(np.mean(precisions))
    assert actual.recall == {5: pytest.approx(np.mean(recalls))}


def test_effective_rank_counts_the_directions():
    spread = np.random.default_rng(0).standard_normal((4000, 6)).astype(np.float32)
    assert effective_rank(spread) == pytest.approx(6, rel=0.02)
    assert effective_rank(np.hstack([spread[:, :1], np.zeros((4000, 5), np.float32)])) == 1


def test_recall_at_1_is_the_share_of_hits():
    keys = np.eye(4, dtype=np.float32)
    assert recall_at_1(keys, keys[[2, 1]], [2, 3]) == 0.5


def test_effective_rank_of_noise_a_line_and_a_plane():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5000, 16)).astype(np.float32)
    assert effective_rank(noise) == pytest.approx(16, abs=0.1)
    line = rng.standard_normal((100, 1)) * rng.standard_normal((1, 16))
    assert effective_rank(line.astype(np.float32)) == pytest.approx(1, abs=1e-3)
    plane = noise * np.array([1, 1] + [0] * 14, np.float32)
    assert effective_rank(plane) == pytest.approx(2, abs=0.01)
