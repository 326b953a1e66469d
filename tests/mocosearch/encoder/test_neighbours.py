"""A whitening adapted by pairs of neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.encoder.neighbours import NEAREST, adapt
from mocosearch.encoder.whitening import Whitening, fit

D = 24


def cosines(white: Whitening, features: np.ndarray) -> np.ndarray:
    keys = white.keys(features)
    return keys @ keys.T


def test_it_finds_more_of_a_class_among_other_photos_too(classes, precision_at_10):
    features, labels = classes(900)
    white = fit(features, D)
    adapted = adapt(white, features)
    others = classes(300, seed=1)
    assert precision_at_10(adapted, features, labels) > precision_at_10(white, features, labels)
    assert precision_at_10(adapted, *others) > precision_at_10(white, *others) + 0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_cosines_do_not_depend_on_the_basis(classes, seed):
    features, _ = classes(300)
    white = fit(features, D)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((D, D)))[0]
    turned = Whitening(white.centre, (white.projection @ turn).astype(np.float32))
    one, other = adapt(white, features), adapt(turned, features)
    np.testing.assert_allclose(cosines(other, features), cosines(one, features), atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, NEAREST, NEAREST + 1, 40])
def test_few_photos_change_little(classes, n):
    features, _ = classes(n)
    white = fit(features, D, prior=fit(classes(500)[0], D))
    before, after = cosines(white, features), cosines(adapt(white, features), features)
    np.testing.assert_allclose(after, before, atol=0.05)


@pytest.mark.parametrize(
    "features", [np.ones((300, D)), np.repeat(np.eye(D), 20, axis=0), np.zeros((300, D))]
)
def test_copies_alone_give_a_finite_whitening(features):
    white = fit(features.astype(np.float16), D)
    adapted = adapt(white, features.astype(np.float16))
    assert np.isfinite(adapted.projection).all()
    assert adapted.projection.shape == white.projection.shape
    assert adapted.projection.dtype == adapted.centre.dtype == np.float32


def test_the_result_is_the_same_every_time(classes):
    features, _ = classes(300)
    white = fit(features, D)
    assert np.array_equal(adapt(white, features).projection, adapt(white, features).projection)


@settings(max_examples=10, deadline=None)
@given(st.integers(600, 1500))
def test_as_a_prior_it_keeps_its_cosines(classes, n):
    """A later fit on two photos hardly changes what an adapted whitening has learned."""
    features, _ = classes(n)
    adapted = adapt(fit(features, D), features)
    later = fit(features[:2], D, prior=adapted)
    before, after = cosines(adapted, features[:200]), cosines(later, features[:200])
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98
