"""Bring an index of an earlier format up to this one, in one transaction.

Format 1 kept absolute paths, and neither checksums nor digests; format 2 not when the system last
saw a file change.
"""

import json
import os
from pathlib import Path

from indexes.search import segments
from indexes.store import roots
from indexes.store.encoder import save_encoder
from indexes.store.environment import DATABASES, FORMAT, Store
from indexes.store.records import PathEntry, SkippedFile, digest
from indexes.store.roots import ROOTS, Roots
from indexes.store.txn import UNSEALED, Txn
from mocosearch.encoder import Encoder


def migrate(txn: Txn) -> None:
    """From formats 1 and 2. Another program sees the old index until it is whole."""
    if bytes(txn.get("meta", b"format") or b"") == b"1":
        _seal(txn)
        _widen(txn)
        _move(txn)
    else:
        _widen(txn)
    txn.put("meta", b"format", str(FORMAT).encode())


def _widen(txn: Txn) -> None:
    """Make room for the time of the last change, which is not known; it stands behind the mtime."""
    for database, at in (("paths", 24), ("refused", 16)):
        for key in [bytes(key) for key, _ in txn.items(database)]:
            value = bytes(txn.get(database, key) or b"")
            txn.put(database, key, value[:at] + bytes(8) + value[at:])


def _move(txn: Txn) -> None:
    """From absolute paths to roots and ways, and digests beside what they are of."""
    stored = txn.get("meta", ROOTS)
    folders: list[str] = json.loads(bytes(stored)) if stored is not None else []
    txn.delete("meta", ROOTS)
    paths = [PathEntry.from_bytes(value).path for _, value in txn.items("paths")]
    paths += [SkippedFile.from_bytes(value).path for _, value in txn.items("refused")]
    known = Roots(dict(enumerate(folders)))
    folders += [os.path.dirname(path) for path in paths if known.number(path) is None]
    roots.rename(txn, roots.add(txn, sorted(set(folders))).stored)
    for number in segments.numbers(txn):
        ids, blob = (bytes(segments.part(txn, number, name)) for name in (b"ids", b"faiss"))
        segments.put(txn, number, ids, blob, segments.EXACT)
    card = txn.get("encoder", b"card")
    if card is not None:
        txn.put("meta", b"card", digest(card).encode())


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


def open_store(folder: Path, *, wait: bool, encoder: Encoder | None = None) -> Store:
    """A store for changes, of this format, created with an encoder where there is none."""

    def first(txn: Txn) -> None:
        if encoder is not None:
            save_encoder(txn, encoder)

    store = Store(folder, writable=True, wait=wait, first=first)
    if store.version != FORMAT:
        try:
            store.write(migrate)
            store.version = FORMAT
        except BaseException:
            store.close()
            raise
    return store
