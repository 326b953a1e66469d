"""Features of photos, stored until the whitening of the index's encoder is fitted on them.

`meta` holds one entry per photo: fp16 (D,). A fit needs no photo again, even in another run. The
features of regions, fp16 (R * D,), are stored the same way until their codes are trained.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import id_key, id_of
from indexes.store.txn import Txn

Features = NDArray[np.float16]
KEYS, REGIONS = b"feature-", b"region-"
"""Prefixes of the entries: features of whole photos, and of their regions."""


def save(txn: Txn, ids: Sequence[int], features: Iterable[Any], prefix: bytes = KEYS) -> None:
    """Store the features of some photos, fp16 (n, D)."""
    for id, row in zip(ids, features, strict=True):
        txn.put("meta", prefix + id_key(id), row.astype(np.float16).tobytes())


def ids(txn: Txn, prefix: bytes = KEYS) -> list[int]:
    """The photos whose features are stored, ascending."""
    return [id_of(key[len(prefix) :]) for key in _keys(txn, prefix)]


def load(txn: Txn, prefix: bytes = KEYS) -> Features:
    """All stored features, fp16 (n, D), in the order of `ids`."""
    keys = _keys(txn, prefix)
    rows = [np.frombuffer(bytes(txn.get("meta", key) or b""), np.float16) for key in keys]
    return np.stack(rows)


def remove(txn: Txn, id: int) -> None:
    """Delete the features of a photo, if they are stored."""
    for prefix in (KEYS, REGIONS):
        txn.delete("meta", prefix + id_key(id))


def clear(txn: Txn, prefix: bytes = KEYS) -> None:
    """Delete all features."""
    for key in list(_keys(txn, prefix)):
        txn.delete("meta", key)


def _keys(txn: Txn, prefix: bytes) -> Iterator[bytes]:
    return (key for key in txn.keys("meta") if key.startswith(prefix))
