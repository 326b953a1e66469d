"""Photos and their paths in the store: written, separated and removed in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from indexes.parts import store as parts
from indexes.search import segments
from indexes.store import features
from indexes.store.encoder import bind
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
from indexes.sync import dates
from mocosearch.errors import Damaged
from mocosearch.photos import Facts, FileStat
from mocosearch.photos.failures import is_temporary


@dataclass
class Batch:
    """What one transaction makes visible."""

    new: list[tuple[FileStat, bytes, Facts]] = field(default_factory=list)
    """Photos with new content, and its digest."""
    keys: list[Any] = field(default_factory=list)
    """Of the new photos, arrays (n, d)."""
    features: list[Any] = field(default_factory=list)
    """Of the new photos, arrays (n, D), where the whitening is still to be fitted."""
    regions: list[Any] = field(default_factory=list)
    """Features of the regions of the new photos, arrays (n, R, D), where the index has parts."""
    moves: list[tuple[FileStat, bytes, Facts | None]] = field(default_factory=list)
    """Files whose content already has a key, its digest, and its facts if they were read again."""
    skipped: list[tuple[FileStat, str | None]] = field(default_factory=list)
    """Files without a key, and the reason; None for a file that is not a picture."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """Of new photos by path, where they are given; all are new."""

    def __len__(self) -> int:
        return len(self.new) + len(self.moves) + len(self.skipped)


def commit(txn: Txn, batch: Batch) -> None:
    """Write a batch.

    Contents are looked up again here, because no other writer can be active: two copies in one
    batch, or from two programs, become one photo with two paths. Every path gets its new photo
    before any path loses its old one, because files may have exchanged their names.
    """
    free = next_id(txn)
    ids: list[int] = []
    rows: list[Any] = []
    numbers: list[int] = []
    keys: Any = np.concatenate(batch.keys).astype(np.float16) if batch.keys else []
    for number, ((file, digest, facts), key) in enumerate(zip(batch.new, keys, strict=True)):
        if txn.get("digests", digest) is None:
            id = batch.ids.get(file.path, free)
            txn.put("digests", digest, id_key(id))
            txn.put("images", id_key(id), Record.of(facts, file.size, digest).to_bytes())
            txn.put("vectors", id_key(id), key.tobytes())
            ids.append(id)
            rows.append(key)
            numbers.append(number)
            free = max(free, id + 1)
    if ids:
        bind(txn)
        order = np.argsort(ids)
        segments.append(txn, [ids[at] for at in order], np.stack([rows[at] for at in order]))
    if batch.features:
        features.save(txn, ids, np.concatenate(batch.features)[numbers])
    if ids and batch.regions:
        parts.append(txn, ids, np.concatenate(batch.regions)[numbers])
    save_next_id(txn, free)

    roots = Roots.of(txn)
    replaced = [_attach(txn, file, roots, digest) for file, digest, _ in batch.new]
    replaced += [_attach(txn, file, roots, digest) for file, digest, _ in batch.moves]
    for entry in replaced:
        if entry is not None:
            _detach(txn, entry)
    _update_facts(txn, {digest: facts for _, digest, facts in batch.moves if facts is not None})
    for file, reason in batch.skipped:
        path = roots.relative(file.path)
        if reason is not None and is_temporary(reason) and txn.get("paths", path_key(path)):
            continue  # Nothing is known of its present content: the photo stays as it was.
        remove_path(txn, path_key(path))
        skipped_file = SkippedFile(file.size, file.mtime, reason, path, file.changed)
        txn.put("refused", path_key(path), skipped_file.to_bytes())


def _update_facts(txn: Txn, facts: dict[bytes, Facts]) -> None:
    """Replace the facts of photos that were read again, by the digest of their content."""
    ids = {digest: id_of(require(txn.get("digests", digest))) for digest in facts}
    for digest, id in ids.items():
        record = replace(_record(txn, id), **vars(facts[digest]))
        txn.put("images", id_key(id), record.to_bytes())
    dates.remove(txn, ids.values())


def _attach(txn: Txn, file: FileStat, roots: Roots, digest: bytes) -> PathEntry | None:
    """Make a path belong to the photo with this content; returns its entry if it had another."""
    path = roots.relative(file.path)
    key, id = path_key(path), id_of(require(txn.get("digests", digest)))
    value = txn.get("paths", key)
    before = None if value is None else PathEntry.from_bytes(value)
    after = PathEntry(id, file.size, file.mtime, path, file.changed)
    txn.put("paths", key, after.to_bytes())
    txn.delete("refused", key)
    if before is not None and before.id == id:
        return None
    record = _record(txn, id)
    record = replace(record, paths=[*record.paths, path])
    txn.put("images", id_key(id), record.to_bytes())
    txn.delete("deleted", id_key(id))
    return before


def _detach(txn: Txn, entry: PathEntry) -> bool:
    """Remove a path from its photo; returns whether it was the last one. Then the photo is masked.

    The photo itself stays until the run ends, because its content may have another path by then.
    """
    record = _record(txn, entry.id)
    record = replace(record, paths=[path for path in record.paths if path != entry.path])
    txn.put("images", id_key(entry.id), record.to_bytes())
    if not record.paths:
        txn.put("deleted", id_key(entry.id), b"")
    return not record.paths


def remove_path(txn: Txn, key: bytes) -> bool:
    """Remove a path, with or without a photo; returns whether a photo lost its last path."""
    txn.delete("refused", key)
    value = txn.get("paths", key)
    if value is None:
        return False
    entry = PathEntry.from_bytes(value)
    txn.delete("paths", key)
    return _detach(txn, entry)


def _record(txn: Txn, id: int) -> Record:
    return Record.from_bytes(require(txn.get("images", id_key(id))))


def require(value: memoryview | None) -> memoryview:
    """The value, which must exist. Raises Damaged."""
    if value is None:
        raise Damaged("the index contradicts itself", "remove it and index again")
    return value
