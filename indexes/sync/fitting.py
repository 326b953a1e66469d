"""The whitening of an index's encoder, fitted on its first photos.

Photos become visible with the whitening that the encoder came with, and their features are stored.
The whitening is fitted on FIT_PHOTOS of them, or on all at the end of a run; then they get keys
with it in one transaction. A run that ends earlier leaves the fit to the next one.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from indexes.search import merging, segments
from indexes.search.significance import save_significance
from indexes.store import features
from indexes.store.encoder import load_encoder, replace_encoder
from indexes.store.environment import Store
from indexes.store.features import Features
from indexes.store.records import id_key
from indexes.store.txn import Txn
from mocosearch.encoder import Encoder
from mocosearch.encoder.batches import Batches
from mocosearch.encoder.card import NOTHING, OWN
from mocosearch.encoder.whitening import Array

if TYPE_CHECKING:
    from mocosearch.encoder.refit import Refit

FIT_PHOTOS = 4096
"""Photos that a whitening is fitted on; with more, more have neighbours among them."""


class Fitting:
    """The fit that an index still needs."""

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self.store, self.encoder = store, encoder
        self.photos = 0
        """Number of photos whose features are stored."""
        self.count()

    @cached_property
    def _refit(self) -> "Refit":
        from mocosearch.encoder.refit import Refit

        return Refit(self.encoder)

    @property
    def least(self) -> int:
        """Fewest photos for a fit."""
        from mocosearch.encoder.refit import FEW

        return FEW if self.encoder.card.whitening == NOTHING else 1

    def count(self) -> None:
        """Bring `photos` up to date."""
        with self.store.read() as txn:
            self.photos = len(features.ids(txn))

    @classmethod
    def of(cls, store: Store, encoder: Encoder) -> "Fitting | None":
        """None where the whitening is of these photos already, or where some photos have keys of
        which no features are stored.
        """
        if encoder.card.whitening == OWN:
            return None
        fitting = cls(store, encoder)
        with store.read() as txn:
            keys = txn.count("vectors")
        if fitting.photos == keys:
            return fitting
        if fitting.photos:
            store.write(features.clear)
        return None

    @property
    def batches(self) -> Batches:
        """Computes features of pictures before whitening, (n, D)."""
        return self._refit.batches

    def model(self) -> Any:
        """A graph of its own that computes the features, as an OpenVINO model."""
        from mocosearch.encoder.refit import Refit

        return Refit(self.encoder).model()

    def keys(self, features: Features) -> Array:
        """Keys with the whitening that the encoder came with, float32 (n, d).

        One call for many photos is far cheaper than several: each reads the whole projection.
        """
        # The other cores decode photos meanwhile: see `whitening.fit`.
        with threadpool_limits(1, user_api="blas"):
            return self._refit.prior.keys(features)

    def fit(self) -> Encoder:
        """Fit the whitening and give the photos their new keys. Raises Busy, StorageFailed."""
        with self.store.read() as txn:
            stored = features.load(txn)
        encoder, keys = self._refit.fit(stored)

        def change(txn: Txn) -> None:
            ids = features.ids(txn)
            replace_encoder(txn, encoder)
            features.clear(txn)
            _replace_keys(txn, ids, keys)

        self.store.write(change)
        merging.merge(self.store)
        return encoder


def is_pending(txn: Txn) -> bool:
    """Whether an index waits for a fit that needs no photo."""
    return bool(features.ids(txn))


def fit_pending(store: Store) -> None:
    """Fit the whitening where an earlier run left that to this one."""
    with store.read() as txn:
        encoder = load_encoder(txn) if is_pending(txn) else None
    fitting = Fitting.of(store, encoder) if encoder is not None else None
    if fitting is not None and fitting.photos >= fitting.least:
        fitting.fit()


def _replace_keys(txn: Txn, ids: list[int], keys: Array) -> None:
    """Replace the keys of all photos, and what is derived from them."""
    rows = keys.astype(np.float16)
    for id, row in zip(ids, rows, strict=True):
        txn.put("vectors", id_key(id), row.tobytes())
    for number in segments.numbers(txn):
        segments.remove(txn, number)
    segments.drop_hidden(txn)
    segments.append(txn, ids, rows)
    txn.delete("meta", b"chance_of")
    save_significance(txn)
