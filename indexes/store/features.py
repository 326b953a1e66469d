"""Features of photos, stored until the whitening of the index's encoder is fitted on them.

`meta` holds one entry per photo: fp16 (D,). A fit needs no photo again, even in another run.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import id_key, id_of
from indexes.store.txn import Txn

Features = NDArray[np.float16]
_PREFIX = b"feature-"


def save(txn: Txn, ids: Sequence[int], features: Iterable[Any]) -> None:
    """Store the features of some photos, fp16 (n, D)."""
    for id, row in zip(ids, features, strict=True):
        txn.put("meta", _PREFIX + id_key(id), row.astype(np.float16).tobytes())


def ids(txn: Txn) -> list[int]:
    """The photos whose features are stored, ascending."""
    return [id_of(key[len(_PREFIX) :]) for key in _keys(txn)]


def load(txn: Txn) -> Features:
    """All stored features, fp16 (n, D), in the order of `ids`."""
    rows = [np.frombuffer(bytes(txn.get("meta", key) or b""), np.float16) for key in _keys(txn)]
    return np.stack(rows)


def remove(txn: Txn, id: int) -> None:
    """Delete the features of a photo, if they are stored."""
    txn.delete("meta", _PREFIX + id_key(id))


def clear(txn: Txn) -> None:
    """Delete all features."""
    for key in list(_keys(txn)):
        txn.delete("meta", key)


def _keys(txn: Txn) -> Iterator[bytes]:
    return (key for key in txn.keys("meta") if key.startswith(_PREFIX))
