"""Encoders of published networks: no photos are at hand to fit a whitening on."""

from datetime import UTC, datetime
from typing import Any

from mocosearch.encoder.card import NOTHING, Card

NOT_WHITENED = "not whitened: the first `mocosearch index` with it fits the whitening"


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
