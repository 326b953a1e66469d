"""A projection learned from views and neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.encoder import projection
from mocosearch.encoder.augmentation import ALPHA, SAME
from mocosearch.encoder.projection import NEIGHBOURS, RIDGE, augmented, learn
from mocosearch.encoder.whitening import fit

D = 24


def views_of(features: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal(features.shape).astype(np.float32)
    return features + 0.05 * noise


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
    np.testing.assert_allclose(augmented(keys), expected, atol=1e-4)


def test_rows_do_not_depend_on_the_block(monkeypatch):
    keys = unit(50, 8, 3)
    whole = augmented(keys)
    monkeypatch.setattr(projection, "ROWS", 7)
    np.testing.assert_allclose(augmented(keys), whole, atol=1e-6)


def test_the_projection_solves_the_least_squares_problem(classes):
    """Against one ridge regression over all dimensions, on the change of the projection."""
    features, _ = classes(200)
    views = views_of(features)
    white = fit(features, 8)
    x = np.concatenate([features, views]).astype(np.float64) - white.centre
    raw = (features - white.centre) @ white.projection
    scale = np.linalg.norm(raw, axis=1).mean()
    targets = np.tile(augmented(white.keys(features)), (2, 1))
    length = ((features - white.centre) ** 2).sum() / len(features)
    gram = x.T @ x + RIDGE * length * np.eye(D)
    change = np.linalg.solve(gram, x.T @ (targets - x @ white.projection / scale))
    expected = white.projection + scale * change
    np.testing.assert_allclose(learn(white, features, views).projection, expected, atol=1e-3)


def test_it_finds_more_of_a_class_among_other_photos_too(classes, precision_at_10):
    features, labels = classes(900)
    views = views_of(features)
    white = fit(features, D)
    learned = learn(white, features, views)
    others, other_labels = classes(300, seed=1)
    before = precision_at_10(white, features, labels)
    assert precision_at_10(learned, features, labels) > before + 0.05
    before = precision_at_10(white, others, other_labels)
    assert precision_at_10(learned, others, other_labels) > before + 0.05


@pytest.mark.parametrize("n", [1, 2, 3, NEIGHBOURS, NEIGHBOURS + 1])
def test_few_photos_give_finite_keys(classes, n):
    features, _ = classes(n)
    views = views_of(features)
    white = fit(classes(300)[0], D)
    keys = learn(white, features.astype(np.float16), views.astype(np.float16)).keys(features)
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-5)
