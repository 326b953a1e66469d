"""kNN and linear predictions beside plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocosearch.evaluation import classify
from mocosearch.evaluation.classify import (
    accuracy,
    knn_predictions,
    linear_predictions,
    training_rows,
)


def unit(random: np.random.Generator, n: int, d: int) -> np.ndarray:
    keys = random.standard_normal((n, d)).astype(np.float32)
    return keys / np.linalg.norm(keys, axis=1, keepdims=True)


@given(st.integers(0, 99), st.integers(3, 30), st.integers(2, 12), st.booleans())
def test_knn_is_that_of_a_plain_loop(seed: int, n: int, k: int, leave_out: bool) -> None:
    random = np.random.default_rng(seed)
    keys, labels = unit(random, n, 4), [str(label) for label in random.integers(0, 3, n)]
    queries = keys if leave_out else unit(random, 5, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "NEIGHBOURS", k)
        own = np.arange(n) if leave_out else None
        predictions = knn_predictions(keys, labels, queries, own)
    for row, (query, prediction) in enumerate(zip(queries, predictions, strict=True)):
        others = [i for i in range(n) if not (leave_out and i == row)]
        nearest = sorted(others, key=lambda i: -float(query @ keys[i]))[:k]
        votes = dict.fromkeys(labels, 0.0)
        for i in nearest:
            votes[labels[i]] += math.exp(float(query @ keys[i]) / 0.1)
        assert votes[prediction] == pytest.approx(max(votes.values()), rel=1e-3)


def test_a_linear_classifier_separates_what_is_separable() -> None:
    random = np.random.default_rng(0)
    centres = unit(random, 4, 16)
    labels = [str(number % 4) for number in range(80)]
    features = centres[np.arange(80) % 4] + 0.2 * unit(random, 80, 16)
    predictions, penalty = linear_predictions(features[:40], labels[:40], features[40:])
    assert accuracy(predictions, labels[40:]) == 1
    assert penalty in classify.PENALTIES


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.floats(0.1, 100))
def test_a_percentage_of_each_label_is_trained_on(labels: list[str], percent: float) -> None:
    rows = training_rows(labels, percent)
    assert (np.diff(rows) > 0).all()
    for label in set(labels):
        count = sum(labels[row] == label for row in rows)
        assert count == max(1, round(labels.count(label) * percent / 100))
