"""Bring an index of an earlier format up to this one, in one transaction.

Format 1 kept absolute paths, and neither checksums nor digests.
"""

import json
import os

from indexes import roots, segments
from indexes.records import PathEntry, Refusal
from indexes.roots import ROOTS, Roots
from indexes.store import DATABASES, FORMAT, UNSEALED, Txn


def migrate(txn: Txn) -> None:
    """From format 1. Another program sees the old index until it is whole."""
    _seal(txn)
    stored = txn.get("meta", ROOTS)
    folders: list[str] = json.loads(bytes(stored)) if stored is not None else []
    txn.delete("meta", ROOTS)
    paths = [PathEntry.from_bytes(value).path for _, value in txn.items("paths")]
    paths += [Refusal.from_bytes(value).path for _, value in txn.items("refused")]
    known = Roots(dict(enumerate(folders)))
    folders += [os.path.dirname(path) for path in paths if known.number(path) is None]
    roots.rename(txn, roots.add(txn, sorted(set(folders))).stored)
    for number in segments.numbers(txn):
        ids, blob = (bytes(segments.part(txn, number, name)) for name in (b"ids", b"faiss"))
        segments.put(txn, number, ids, blob, segments.EXACT)
    card = txn.get("encoder", b"card")
    if card is not None:
        txn.put("meta", b"card", segments.digest(card).encode())
    txn.put("meta", b"format", str(FORMAT).encode())


def _seal(txn: Txn) -> None:
    """Give each value its checksum."""
    for database in set(DATABASES) - UNSEALED:
        for key in [bytes(key) for key, _ in txn.items(database)]:
            txn.sealed = False
            value = bytes(txn.get(database, key) or b"")
            txn.sealed = True
            txn.put(database, key, value)
        txn.sealed = False
    txn.sealed = True
