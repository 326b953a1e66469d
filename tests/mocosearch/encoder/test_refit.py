"""A new whitening for an exported encoder, without torch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mocosearch.encoder import Encoder, whitening
from mocosearch.encoder.card import NOTHING, OTHERS, OWN
from mocosearch.encoder.neighbours import adapt
from mocosearch.encoder.refit import FEW, Refit
from mocosearch.errors import Damaged


def with_whitening(encoder: Encoder, what: str) -> Encoder:
    return Encoder(replace(encoder.card, whitening=what), encoder.graph, encoder.weights)


@pytest.fixture
def pixels_of(encoder, picture) -> Callable[[int], np.ndarray]:
    side = encoder.side
    return lambda n: np.stack([np.asarray(picture(seed, side, side)) for seed in range(n)])


@pytest.fixture
def pixels(pixels_of) -> np.ndarray:
    return pixels_of(40)


def test_a_refitted_encoder_computes_the_keys_that_fit_returned(encoder, pixels):
    refit = Refit(with_whitening(encoder, OTHERS))
    fresh, keys = refit.fit(refit.features(pixels))
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-5)
    assert (fresh.encode(pixels) * keys).sum(1).min() > 0.998
    assert (encoder.encode(pixels) * keys).sum(1).min() < 0.9


def test_features_are_unchanged(encoder, pixels):
    refit = Refit(with_whitening(encoder, OTHERS))
    features = refit.features(pixels)
    fresh, _ = refit.fit(features)
    assert np.array_equal(Refit(fresh).features(pixels), features)


def test_the_card_records_the_fit(encoder, pixels):
    refit = Refit(with_whitening(encoder, OTHERS))
    card = refit.fit(refit.features(pixels))[0].card
    assert (card.whitening, card.whitened, card.fitted_from) == (OWN, 40, encoder.fingerprint)
    assert card.fingerprint != encoder.fingerprint
    assert card.comes_from(encoder.fingerprint)
    assert card.comes_from(card.fingerprint)
    assert not encoder.card.comes_from(card.fingerprint)


def test_the_same_photos_give_the_same_encoder(encoder, pixels):
    def fingerprint() -> str:
        refit = Refit(with_whitening(encoder, OTHERS))
        return refit.fit(refit.features(pixels))[0].fingerprint

    assert fingerprint() == fingerprint()


def test_two_photos_change_an_earlier_whitening_little(encoder, pixels):
    refit = Refit(with_whitening(encoder, OTHERS))
    fresh, _ = refit.fit(refit.features(pixels[:2]))
    before, after = encoder.encode(pixels), fresh.encode(pixels)
    assert np.corrcoef((before @ before.T).ravel(), (after @ after.T).ravel())[0, 1] > 0.95


def test_without_a_prior_few_photos_change_nothing(encoder, pixels_of):
    refit = Refit(with_whitening(encoder, NOTHING))
    some = refit.features(pixels_of(FEW))
    unchanged, keys = refit.fit(some[: FEW - 1])
    assert unchanged is refit.encoder
    assert (encoder.encode(pixels_of(FEW)[:-1]) * keys).sum(1).min() > 0.99
    alone = adapt(whitening.fit(some.astype(np.float32), encoder.dimension), some)
    _, keys = refit.fit(some)
    np.testing.assert_allclose(keys, alone.keys(some.astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize("graph", [b"no graph", None])
def test_other_graphs_raise_damaged(encoder, graph, tmp_path):
    import light

    other = light.openvino_encoder(tmp_path / "light") if graph is None else encoder
    card = replace(other.card, whitening=OTHERS)
    with pytest.raises(Damaged):
        Refit(Encoder(card, graph or other.graph, other.weights))
