"""Photos whose facts are read again, because an earlier version may have dropped their dates.

Until format 4, a date after the year of the run's clock was dropped: with a clock in 1970, all
were. Such photos are decoded once more and keep their keys. `meta` lists those that remain.
"""

from collections.abc import Iterable

import numpy as np

from indexes.store.records import id_key
from indexes.store.txn import Txn

UNDATED = b"undated"
_NO_DATE = b'"taken": null'
"""In a record's JSON, where a quotation mark inside a text has a backslash before it."""


def save_none(txn: Txn) -> None:
    """Mark an index as read by this version alone."""
    txn.put("meta", UNDATED, b"")


def load(txn: Txn) -> frozenset[int]:
    """The ids of the photos to read again; empty until `list_once`."""
    stored = txn.get("meta", UNDATED)
    return frozenset(np.frombuffer(bytes(stored or b""), ">u8").tolist())


def list_once(txn: Txn) -> None:
    """List every photo without a date, unless this was done before."""
    if txn.get("meta", UNDATED) is None:
        records = txn.items("images")
        ids = [bytes(key) for key, value in records if _NO_DATE in bytes(value)]
        txn.put("meta", UNDATED, b"".join(ids))


def remove(txn: Txn, ids: Iterable[int]) -> None:
    """Take photos off the list."""
    listed = load(txn)
    if left := listed.difference(ids):
        if left != listed:
            txn.put("meta", UNDATED, b"".join(map(id_key, sorted(left))))
    elif listed:
        save_none(txn)
