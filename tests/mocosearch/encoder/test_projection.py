"""A projection learned from views and neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.encoder import projection
from mocosearch.encoder.projection import ALPHA, NEIGHBOURS, RIDGE, SAME, augment, learn
from mocosearch.encoder.whitening import Whitening, fit

D = 24


def classes(n: int, seed: int = 0, count: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features whose classes differ in a third of the dimensions, and the photos of a class in all
    others; a view of each; and the classes.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % count
    centres = np.random.default_rng(99).standard_normal((count, D // 3))
    x = np.concatenate([centres[labels], np.zeros((n, D - D // 3))], 1)
    x += rng.standard_normal((n, D)) * np.where(np.arange(D) < D // 3, 0.25, 0.6)
    views = x + rng.standard_normal((n, D)) * 0.05
    return x.astype(np.float32), views.astype(np.float32), labels


def precision_at_10(white: Whitening, features: np.ndarray, labels: np.ndarray) -> float:
    keys = white.keys(features)
    cosines = keys @ keys.T
    np.fill_diagonal(cosines, -2)
    best = np.argsort(-cosines, axis=1)[:, :10]
    return float((labels[best] == labels[:, None]).mean())


def unit(n: int, d: int, seed: int) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    keys[1::7] = keys[::7][: len(keys[1::7])] + 0.01
    return keys / np.linalg.norm(keys, axis=1, keepdims=True)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_augmented_keys_equal_a_plain_loop(n, d, seed):
    keys = unit(n, d, seed)
    expected = []
    for i, key in enumerate(keys):
        others = [(float(key @ other), j) for j, other in enumerate(keys) if j != i]
        others = sorted(((c, j) for c, j in others if c < SAME), reverse=True)[:NEIGHBOURS]
        total = key + sum(max(c, 0) ** ALPHA * keys[j] for c, j in others)
        expected.append(total / np.linalg.norm(total))
    np.testing.assert_allclose(augment(keys), expected, atol=1e-4)


def test_rows_do_not_depend_on_the_block(monkeypatch):
    keys = unit(50, 8, 3)
    whole = augment(keys)
    monkeypatch.setattr(projection, "ROWS", 7)
    np.testing.assert_allclose(augment(keys), whole, atol=1e-6)


def test_the_projection_solves_the_least_squares_problem():
    """Against one ridge regression over all dimensions, on the change of the projection."""
    features, views, _ = classes(200)
    white = fit(features, 8)
    x = np.concatenate([features, views]).astype(np.float64) - white.centre
    raw = (features - white.centre) @ white.projection
    scale = np.linalg.norm(raw, axis=1).mean()
    targets = np.tile(augment(white.keys(features)), (2, 1))
    length = ((features - white.centre) ** 2).sum() / len(features)
    gram = x.T @ x + RIDGE * length * np.eye(D)
    change = np.linalg.solve(gram, x.T @ (targets - x @ white.projection / scale))
    expected = white.projection + scale * change
    np.testing.assert_allclose(learn(white, features, views).projection, expected, atol=1e-3)


def test_it_finds_more_of_a_class_among_other_photos_too():
    features, views, labels = classes(900)
    white = fit(features, D)
    learned = learn(white, features, views)
    others, _, other_labels = classes(300, seed=1)
    before = precision_at_10(white, features, labels)
    assert precision_at_10(learned, features, labels) > before + 0.05
    before = precision_at_10(white, others, other_labels)
    assert precision_at_10(learned, others, other_labels) > before + 0.05


@pytest.mark.parametrize("n", [1, 2, 3, NEIGHBOURS, NEIGHBOURS + 1])
def test_few_photos_give_finite_keys(n):
    features, views, _ = classes(n)
    white = fit(classes(300)[0], D)
    keys = learn(white, features.astype(np.float16), views.astype(np.float16)).keys(features)
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-5)
