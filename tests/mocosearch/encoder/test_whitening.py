import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.encoder import whitening
from mocosearch.encoder.whitening import fit


def correlated(n: int, D: int, seed: int = 0) -> np.ndarray:
    """Features with a decaying spectrum and a non-zero mean."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((D, D)))[0]
    mix = rotation * np.maximum(0.9 ** np.arange(D), 0.02)[:, None]
    return (rng.standard_normal((n, D)) @ mix + 3).astype(np.float32)


def apply(white, features: np.ndarray) -> np.ndarray:
    return (features.astype(np.float64) - white.centre) @ white.projection


def cosines(keys: np.ndarray) -> np.ndarray:
    unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    return unit @ unit.T


def reference(features: np.ndarray, dimension: int, amount: float) -> np.ndarray:
    """Keys by covariance, eigh and shrinkage towards the mean variance."""
    x = features.astype(np.float64)
    x = x - x.mean(0)
    covariance = x.T @ x / (len(x) - 1)
    variances, directions = np.linalg.eigh(covariance)
    best = np.argsort(variances)[::-1][:dimension]
    mean_variance = np.trace(covariance) / x.shape[1]
    shrunk = (1 - amount) * variances[best] + amount * mean_variance
    return x @ directions[:, best] / np.sqrt(shrunk)


def test_full_whitening_gives_identity_covariance():
    features = correlated(4000, 24)
    keys = apply(fit(features, 24, shrinkage=0.0, power=0.5), features)
    np.testing.assert_allclose(np.cov(keys.T), np.eye(24), atol=2e-3)
    np.testing.assert_allclose(keys.mean(0), 0, atol=1e-3)


def test_leading_directions_have_identity_covariance():
    features = correlated(3000, 200)
    keys = apply(fit(features, 16, shrinkage=0.0, power=0.5), features)
    np.testing.assert_allclose(np.cov(keys.T), np.eye(16), atol=2e-2)


@settings(max_examples=15, deadline=None)
@given(st.integers(150, 400), st.integers(4, 40), st.integers(1, 50), st.floats(0.01, 1))
def test_cosines_match_a_plain_eigh(n, D, dimension, amount):
    features = correlated(n, D, seed=D)
    keys = apply(fit(features, dimension, shrinkage=amount, power=0.5), features)
    expected = reference(features, min(dimension, D), amount)
    assert keys.shape == expected.shape
    if dimension > 1:
        np.testing.assert_allclose(cosines(keys), cosines(expected), atol=5e-3)
    np.testing.assert_allclose(np.abs(keys[:, 0]), np.abs(expected[:, 0]), atol=5e-3)


def test_default_shrinkage_depends_on_the_number_of_photos():
    features = correlated(300, 12)
    given = apply(fit(features, 12, shrinkage=1 / (1 + 300 / 100), power=0.5), features)
    np.testing.assert_allclose(apply(fit(features, 12, power=0.5), features), given)


def test_range_finder_agrees_with_eigh_in_many_dimensions():
    features = correlated(500, 300, seed=4)
    keys = apply(fit(features, 32, power=0.5), features)
    expected = reference(features, 32, 1 / 6)
    np.testing.assert_allclose(cosines(keys), cosines(expected), atol=2e-2)


@pytest.mark.parametrize(("n", "D", "dimension"), [(2, 40, 8), (2, 200, 100), (5, 16, 64)])
def test_a_few_photos_are_enough(n, D, dimension):
    features = correlated(n, D)
    white = fit(features, dimension)
    assert white.centre.shape == (D,)
    assert white.projection.shape == (D, min(dimension, D))
    assert white.centre.dtype == white.projection.dtype == np.float32
    keys = apply(white, features)
    assert np.isfinite(keys).all()
    assert (np.linalg.norm(keys, axis=1) > 1e-3).all()
    others = apply(white, correlated(3, D, seed=9))
    assert np.isfinite(cosines(others)).all()


def test_identical_photos_give_a_finite_whitening():
    white = fit(np.ones((5, 20), np.float32), 8)
    assert np.isfinite(white.projection).all()


def test_no_shrinkage_is_finite_with_few_photos():
    with np.errstate(all="ignore"):
        white = fit(np.eye(2, 20, dtype=np.float32), 12, shrinkage=0.0)
    assert np.isfinite(white.projection).all()


def test_fit_is_deterministic():
    features = correlated(50, 120)
    one, same = fit(features, 16), fit(features, 16)
    assert np.array_equal(one.projection, same.projection)
    assert np.array_equal(one.centre, same.centre)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 300), st.integers(3, 20), st.floats(0.2, 0.5))
def test_a_prior_counts_as_its_photos(n, D, power):
    past, own = correlated(whitening.PRIOR, D, seed=1), correlated(n, D, seed=2) + 0.5
    prior = fit(past, D, shrinkage=0.0, power=power)
    with_prior = fit(own, D, shrinkage=0.0, power=power, prior=prior)
    of_both = fit(np.concatenate([past, own]), D, shrinkage=0.0, power=power)
    np.testing.assert_allclose(with_prior.centre, of_both.centre, rtol=1e-3)
    queries = correlated(30, D, seed=3)
    expected = cosines(apply(of_both, queries))
    np.testing.assert_allclose(cosines(apply(with_prior, queries)), expected, atol=5e-3)


def test_one_photo_changes_a_prior_little():
    features = correlated(400, 30)
    prior = fit(features, 12)
    queries = correlated(50, 30, seed=8)
    one = fit(features[:1], 12, prior=prior)
    before, after = cosines(prior.keys(queries)), cosines(one.keys(queries))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99
