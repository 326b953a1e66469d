"""Photos and their paths in the store: written, parted and taken out inside one transaction."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from indexes.search import segments
from indexes.store.records import (
    PathEntry,
    Record,
    SkippedFile,
    id_key,
    id_of,
    next_id,
    path_key,
    save_next_id,
)
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.errors import Damaged
from mocosearch.photos import Facts, FileStat


@dataclass
class Batch:
    """What one transaction makes visible."""

    new: list[tuple[FileStat, bytes, Facts]] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    """Of the new photos, (n, d); features, (n, D), until the whitening is fitted."""
    known: list[tuple[FileStat, bytes]] = field(default_factory=list)
    skipped: list[tuple[FileStat, str | None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.new) + len(self.known) + len(self.skipped)


def commit(txn: Txn, batch: Batch) -> None:
    """Write a batch. Contents are looked up again here, where no other writer can be, so that
    two copies in one batch, or two programs at work, end as one photo with two paths.

    Every path gets its new photo before any loses its old one: names may have changed hands.
    """
    id = next_id(txn)
    ids: list[int] = []
    rows: list[Any] = []
    keys: Any = np.concatenate(batch.keys).astype(np.float16) if batch.keys else []
    for (found, digest, facts), key in zip(batch.new, keys, strict=True):
        if txn.get("digests", digest) is None:
            txn.put("digests", digest, id_key(id))
            txn.put("images", id_key(id), Record.of(facts, found.size, digest).to_bytes())
            txn.put("vectors", id_key(id), key.tobytes())
            ids.append(id)
            rows.append(key)
            id += 1
    if ids:
        segments.append(txn, ids, np.stack(rows))
    save_next_id(txn, id)

    known = Roots.of(txn)
    before = [_attach(txn, found, known, digest) for found, digest, _ in batch.new]
    before += [_attach(txn, found, known, digest) for found, digest in batch.known]
    for entry in before:
        if entry is not None:
            _detach(txn, entry)
    for found, reason in batch.skipped:
        path = known.relative(found.path)
        forget(txn, path_key(path))
        skipped_file = SkippedFile(found.size, found.mtime, reason, path, found.changed)
        txn.put("refused", path_key(path), skipped_file.to_bytes())


def _attach(txn: Txn, found: FileStat, known: Roots, digest: bytes) -> PathEntry | None:
    """Let a path stand for the photo with this content; returns what it stood for before."""
    path = known.relative(found.path)
    key, id = path_key(path), id_of(present(txn.get("digests", digest)))
    stored = txn.get("paths", key)
    before = None if stored is None else PathEntry.from_bytes(stored)
    now = PathEntry(id, found.size, found.mtime, path, found.changed)
    txn.put("paths", key, now.to_bytes())
    txn.delete("refused", key)
    if before is not None and before.id == id:
        return None
    record = _record(txn, id)
    record = replace(record, paths=[*record.paths, path])
    txn.put("images", id_key(id), record.to_bytes())
    txn.delete("deleted", id_key(id))
    return before


def _detach(txn: Txn, entry: PathEntry) -> bool:
    """Take a path from its photo; whether it was the last one, and the photo is masked.

    The photo itself stays until the run ends, for its content may turn up elsewhere.
    """
    record = _record(txn, entry.id)
    record = replace(record, paths=[path for path in record.paths if path != entry.path])
    txn.put("images", id_key(entry.id), record.to_bytes())
    if not record.paths:
        txn.put("deleted", id_key(entry.id), b"")
    return not record.paths


def forget(txn: Txn, key: bytes) -> bool:
    """Take a path out, with its photo or skipped_file; whether a photo lost its last path."""
    txn.delete("refused", key)
    stored = txn.get("paths", key)
    if stored is None:
        return False
    entry = PathEntry.from_bytes(stored)
    txn.delete("paths", key)
    return _detach(txn, entry)


def _record(txn: Txn, id: int) -> Record:
    return Record.from_bytes(present(txn.get("images", id_key(id))))


def present(stored: memoryview | None) -> memoryview:
    """What must be there. Raises Damaged."""
    if stored is None:
        raise Damaged("the index contradicts itself", "remove it and index again")
    return stored
