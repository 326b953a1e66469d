"""Restore a damaged encoder in an index from an intact one."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from indexes.store.encoder import encoder_version, is_intact, parts_of, put_encoder
from indexes.store.environment import Store
from indexes.store.records import digest
from mocosearch.encoder import Card, Encoder
from mocosearch.encoder.card import OWN, fingerprint
from mocosearch.encoder.refit import Refit
from mocosearch.errors import Damaged

MOST_WHITENED = 4096
"""More photos than any version fits a whitening on."""


def restore_encoder(store: Store, source: str | os.PathLike[str]) -> bool:
    """Restore the encoder of an index if it is damaged: see `Index.restore_encoder`.

    source: of an encoder of the same fingerprint, or of the one whose whitening the index fitted to
    its photos. Of such an encoder everything can be restored but the whitening.
    """
    with store.read() as txn:
        if is_intact(txn):
            return False
        encoder = _restored(parts_of(txn), encoder_version(txn).decode(), Encoder.open(source))
    store.write(lambda txn: put_encoder(txn, encoder))
    return True


def _restored(parts: tuple[bytes, bytes, bytes], version: str, source: Encoder) -> Encoder:
    """The encoder as it was stored, from its damaged parts and the digest of its card."""
    stored, graph, weights = parts
    for card in _cards(stored, fingerprint(graph, weights), source):
        if digest(card.to_json().encode()) == version:
            for some in _candidates(card, graph, weights, source):
                if fingerprint(*some) == card.fingerprint:
                    return Encoder(card, *some)
    raise Damaged(
        "the encoder in the index cannot be restored",
        "name the one that it was created with: --encoder NAME; or give every photo a new key: "
        "mocosearch index --encoder NAME",
    )


def _cards(stored: bytes, present: str, source: Encoder) -> Iterator[Card]:
    """What the card may have been; present: the fingerprint of the stored graph and weights."""
    with suppress(Damaged):
        yield Card.from_json(stored)
    yield source.card
    fitted = replace(
        source.card, whitening=OWN, fitted_from=source.fingerprint, fingerprint=present
    )
    yield from (replace(fitted, whitened=photos) for photos in range(MOST_WHITENED))


def _candidates(
    card: Card, graph: bytes, weights: bytes, source: Encoder
) -> Iterator[tuple[bytes, bytes]]:
    """What graph and weights may have been."""
    yield graph, weights
    yield source.graph, source.weights
    if card.fitted_from == source.fingerprint:
        refit = Refit(source)
        white = refit.prior
        fitted_graph, fitted_weights = refit.with_whitening(white)
        buffer = bytearray(fitted_weights)
        for values in (white.centre, white.projection):
            # Where the whitening lies in the file; OpenVINO stores it in fp16.
            half = values.astype(np.float16).tobytes()
            at = fitted_weights.find(half)
            if at >= 0:
                buffer[at : at + len(half)] = weights[at : at + len(half)]
        mended = bytes(buffer)
        yield graph, mended
        yield fitted_graph, mended
