"""Convert an index of an earlier format to this one, in one transaction.

Format 1 stored absolute paths, and neither checksums nor digests. Format 2 lacked the time of a
file's last change as the system saw it. Format 3 had no columns, format 4 no keys of regions.
"""

import json
import os
from pathlib import Path

from indexes.search import segments
from indexes.store import columns, roots
from indexes.store.encoder import save_encoder
from indexes.store.environment import DATABASES, FORMAT, Store
from indexes.store.records import PathEntry, SkippedFile, digest, to_path
from indexes.store.roots import ROOTS, Roots
from indexes.store.txn import WITHOUT_CHECKSUMS, Txn
from mocosearch.encoder import Encoder


def migrate(txn: Txn) -> None:
    """From formats 1 to 4. Other programs see the old index until the commit."""
    version = int(bytes(txn.get("meta", b"format") or b""))
    if version == 1:
        _add_checksums(txn)
    if version < 3:
        _add_change_times(txn)
    if version == 1:
        _add_roots(txn)
    if version < 4:
        columns.rebuild(txn)
    txn.put("meta", b"format", str(FORMAT).encode())


def _add_change_times(txn: Txn) -> None:
    """Add the time of the last change after the mtime: 0, which means unknown."""
    for database, at in (("paths", 24), ("refused", 16)):
        for key in [bytes(key) for key, _ in txn.items(database)]:
            value = bytes(txn.get(database, key) or b"")
            txn.put(database, key, value[:at] + bytes(8) + value[at:])


def _add_roots(txn: Txn) -> None:
    """Make absolute paths relative to roots, and add digests of segments and of the card."""
    stored = txn.get("meta", ROOTS)
    folders = list(map(to_path, json.loads(bytes(stored)) if stored is not None else []))
    txn.delete("meta", ROOTS)
    paths = [PathEntry.from_bytes(value).path for _, value in txn.items("paths")]
    paths += [SkippedFile.from_bytes(value).path for _, value in txn.items("refused")]
    paths = list(map(to_path, paths))
    before = Roots(dict(enumerate(folders)))
    folders += [os.path.dirname(path) for path in paths if before.number(path) is None]
    after = roots.add(txn, sorted(set(folders)))
    roots.rename(txn, lambda path: after.relative(to_path(path)))
    for number in segments.numbers(txn):
        ids, blob = (bytes(segments.part(txn, number, name)) for name in (b"ids", b"faiss"))
        segments.put(txn, number, ids, blob, segments.EXACT)
    card = txn.get("encoder", b"card")
    if card is not None:
        txn.put("meta", b"card", digest(card).encode())


def _add_checksums(txn: Txn) -> None:
    """Append a checksum to each value."""
    for database in set(DATABASES) - WITHOUT_CHECKSUMS:
        for key in [bytes(key) for key, _ in txn.items(database)]:
            txn.checksums = False
            value = bytes(txn.get(database, key) or b"")
            txn.checksums = True
            txn.put(database, key, value)
        txn.checksums = False
    txn.checksums = True


def open_store(
    folder: Path, *, wait: bool, encoder: Encoder | None = None, by_default: bool = False
) -> Store:
    """A writable store of this format; created with the encoder where there is none. by_default: of
    `save_encoder`.
    """

    def initialise(txn: Txn) -> None:
        from indexes.sync import dates

        dates.save_none(txn)
        if encoder is not None:
            save_encoder(txn, encoder, by_default=by_default)

    store = Store(folder, writable=True, wait=wait, initialise=initialise)
    if store.version != FORMAT:
        try:
            store.write(migrate)
            store.version = FORMAT
        except BaseException:
            store.close()
            raise
    return store
