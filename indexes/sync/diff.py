"""Which files are new, changed or gone: the folders compared with the index."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from indexes.search.significance import save_significance
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.records import PathEntry, Record, SkippedFile, path_key, to_path, to_text
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync.counts import Counts
from indexes.sync.entries import remove_path
from mocosearch.photos import FileStat, scan
from mocosearch.photos.scan import is_within, roots_of

DISKS = b"disks"


@dataclass
class Coverage:
    """What a scan reached, and what it could not reach."""

    keys: set[bytes] = field(default_factory=set)
    """The path key of every file."""
    roots: list[str] = field(default_factory=list)
    """Scanned roots with at least one file: one without any may be a disk that is not mounted."""
    nonempty: set[str] = field(default_factory=set)
    """The roots in which the scan met a file."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be read."""
    disks: list[str] = field(default_factory=list)
    """Folders below a root that are on another disk."""
    unplugged: list[str] = field(default_factory=list)
    """Folders that were on another disk at an earlier scan, and are missing or empty now."""

    def is_gone(self, key: bytes, path: str) -> bool:
        """Whether a file is gone, as far as the scan can tell."""
        return (
            key not in self.keys
            and any(is_within(path, root) for root in self.roots)
            and not any(is_within(path, folder) for folder in [*self.unreadable, *self.unplugged])
        )


def split_folders(
    folders: Sequence[str | os.PathLike[str]], index_roots: Roots
) -> tuple[list[str], list[str]]:
    """The folders with files in them, then roots of the index that are missing, and empty folders.

    Raises NotFound for a missing folder that no root of the index holds.
    """
    paths = [roots.absolute(folder) for folder in folders]
    missing = [p for p in paths if not os.path.exists(p) and index_roots.number(p) is not None]
    existing = roots_of([path for path in paths if path not in missing])
    empty = [path for path in existing if is_empty(path)]
    return [path for path in existing if path not in empty], missing + empty


def unplugged_disks(store: Store, coverage: Coverage) -> list[str]:
    """Disks mounted or linked below the scanned roots that seem to be unplugged."""
    with store.read() as txn:
        disks = {*load_disks(txn), *coverage.disks}
    below = [disk for disk in sorted(disks) if any(is_within(disk, r) for r in coverage.roots)]
    return [disk for disk in below if is_empty(disk)]


def load_disks(txn: Txn) -> list[str]:
    """Folders below the roots that were on another disk when they were last scanned."""
    stored = txn.get("meta", DISKS)
    disks: list[str] = json.loads(bytes(stored)) if stored is not None else []
    return list(map(to_path, disks))


def _save_disks(txn: Txn, coverage: Coverage) -> None:
    """Store the disks of this scan, the unplugged ones, and those outside the scanned roots."""
    before = load_disks(txn)
    outside = [disk for disk in before if not any(is_within(disk, r) for r in coverage.roots)]
    after = sorted({*outside, *coverage.unplugged, *coverage.disks})
    if after != before:
        txn.put("meta", DISKS, json.dumps(list(map(to_text, after))).encode())


def is_empty(folder: str) -> bool:
    """Whether there is no file below a folder, as below the mount point of an unmounted disk."""
    return next(scan([folder]), None) is None


def compare(
    store: Store, files: Iterable[FileStat], coverage: Coverage, retry: bool, counts: Counts
) -> list[FileStat]:
    """The files to read: new ones, and those that have changed since they were last read.

    Adds every file to `coverage`, and those that need no reading to `counts`.
    """
    to_read: list[FileStat] = []
    without_time: list[tuple[bytes, FileStat]] = []
    own = roots.absolute(store.folder)
    unmet = set(coverage.roots)
    with store.read() as txn:
        index_roots = Roots.of(txn)
        for file in files:
            if is_within(file.path, own):
                continue
            if unmet:
                coverage.nonempty |= {root for root in unmet if is_within(file.path, root)}
                unmet -= coverage.nonempty
            key = path_key(index_roots.relative(file.path))
            coverage.keys.add(key)
            value = txn.get("paths", key)
            entry = None if value is None else PathEntry.from_bytes(value)
            if entry is not None and entry.is_unchanged(file):
                counts.unchanged += 1
                if file.changed and not entry.changed:
                    without_time.append((key, file))
                continue
            value = txn.get("refused", key)
            if value is not None:
                skipped = SkippedFile.from_bytes(value)
                again = retry and skipped.reason is not None
                if skipped.is_unchanged(file) and not again:
                    counts.skip(file, skipped.reason)
                    continue
            to_read.append(file)
    if without_time:
        store.write(lambda txn: _save_change_times(txn, without_time))
    return to_read


def _save_change_times(txn: Txn, files: Iterable[tuple[bytes, FileStat]]) -> None:
    """Store the time of the last change where an earlier format did not have it."""
    for key, file in files:
        value = txn.get("paths", key)
        if value is not None:
            entry = replace(PathEntry.from_bytes(value), changed=file.changed)
            txn.put("paths", key, entry.to_bytes())


def clean_up(txn: Txn, coverage: Coverage | None) -> int:
    """End a run: remove the paths that are gone, then photos without a path, and unused roots.

    coverage: of a complete scan; None after an incomplete one, which removes no path. Returns how
    many photos were removed with their paths.
    """
    missing_keys = []
    index_roots = Roots.of(txn)
    if coverage is not None:
        _save_disks(txn, coverage)
        for key, value in txn.items("paths"):
            if coverage.is_gone(bytes(key), index_roots.path(PathEntry.from_bytes(value).path)):
                missing_keys.append(bytes(key))
        for key, value in txn.items("refused"):
            if coverage.is_gone(bytes(key), index_roots.path(SkippedFile.from_bytes(value).path)):
                missing_keys.append(bytes(key))
    removed = sum(remove_path(txn, key) for key in missing_keys)
    for id in list(txn.keys("deleted")):
        record = txn.get("images", id)
        if record is not None:
            digest = bytes.fromhex(Record.from_bytes(record).digest)
            txn.delete("images", id)
            txn.delete("vectors", id)
            txn.delete("digests", digest)
    save_significance(txn)
    if missing_keys:
        _remove_unused_roots(txn, index_roots)
    return removed


def _remove_unused_roots(txn: Txn, index_roots: Roots) -> None:
    paths = [PathEntry.from_bytes(value).path for _, value in txn.items("paths")]
    paths += [SkippedFile.from_bytes(value).path for _, value in txn.items("refused")]
    used = {int(path.partition("/")[0]) for path in paths}
    roots.forget(txn, set(index_roots.places) - used)
