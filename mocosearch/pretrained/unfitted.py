"""Encoders of published networks: no photos are at hand to fit a whitening on."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from mocosearch.encoder.card import NOTHING, Card
from mocosearch.encoder.whitening import Whitening

DIMENSION = 256
NOT_WHITENED = "not whitened: the first `mocosearch index` with it fits the whitening"


def random_projection(D: int) -> Whitening:
    """Used until an index fits a whitening: min(D, DIMENSION) fixed random orthogonal directions.

    They preserve distances to about 1/sqrt(2 * DIMENSION) (Johnson and Lindenstrauss, 1984).
    """
    noise = np.random.default_rng(0).standard_normal((D, DIMENSION)).astype(np.float32)
    return Whitening(np.zeros(D, np.float32), np.linalg.qr(noise)[0])


def unfitted_card(
    architecture: str, side: int, dimension: int, origin: str, licence: str, corpus: str, **how: Any
) -> Card:
    """The card, still without a fingerprint. how: further facts about the import."""
    return Card(
        architecture=architecture,
        side=side,
        dimension=dimension,
        recipe={"name": "imported", "keys": NOT_WHITENED, **how},
        photos=0,
        epochs=0.0,
        seconds=0.0,
        parent=origin,
        fingerprint="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        licence=licence,
        corpus=corpus,
        whitening=NOTHING,
    )
