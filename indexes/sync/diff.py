"""Which files are new, changed or gone: what lies in the folders against what is stored."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from indexes.search.significance import save_significance
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.records import PathEntry, Record, SkippedFile, path_key
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync.counts import Counts
from indexes.sync.entries import forget
from mocosearch.photos import FileStat, scan
from mocosearch.photos.scan import is_within, roots_of

DISKS = b"disks"


@dataclass
class Seen:
    """What a walk through the folders met."""

    keys: set[bytes] = field(default_factory=set)
    """Of every file's path."""
    roots: list[str] = field(default_factory=list)
    """Those looked through: with any file, as others look like disks that are not mounted."""
    met: set[str] = field(default_factory=set)
    """The roots of which any file was seen."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be looked into."""
    disks: list[str] = field(default_factory=list)
    """Folders below a root that lie on a disk of their own."""
    away: list[str] = field(default_factory=list)
    """Those that lay on one at an earlier walk, and are missing or empty."""

    def misses(self, key: bytes, path: str) -> bool:
        """Whether the file is gone, as far as could be seen."""
        return (
            key not in self.keys
            and any(is_within(path, root) for root in self.roots)
            and not any(is_within(path, folder) for folder in [*self.unreadable, *self.away])
        )


def present_and_absent(
    folders: Sequence[str | os.PathLike[str]], known: Roots
) -> tuple[list[str], list[str]]:
    """The folders with files in them, and those known ones that look as if not mounted."""
    paths = [roots.absolute(folder) for folder in folders]
    missing = [p for p in paths if not os.path.exists(p) and known.number(p) is not None]
    there = roots_of([path for path in paths if path not in missing])
    empty = [path for path in there if is_empty(path)]
    return [path for path in there if path not in empty], missing + empty


def away(store: Store, seen: Seen) -> list[str]:
    """Disks mounted or linked below the roots looked through that seem to be unplugged."""
    with store.read() as txn:
        known = {*disks(txn), *seen.disks}
    below = [disk for disk in sorted(known) if any(is_within(disk, root) for root in seen.roots)]
    return [disk for disk in below if is_empty(disk)]


def disks(txn: Txn) -> list[str]:
    """Folders below the roots that lay on disks of their own when they were last walked through."""
    stored = txn.get("meta", DISKS)
    known: list[str] = json.loads(bytes(stored)) if stored is not None else []
    return known


def _keep_disks(txn: Txn, seen: Seen) -> None:
    """Those of this walk, those away, and those where it did not look."""
    known = disks(txn)
    unseen = [disk for disk in known if not any(is_within(disk, root) for root in seen.roots)]
    kept = sorted({*unseen, *seen.away, *seen.disks})
    if kept != known:
        txn.put("meta", DISKS, json.dumps(kept).encode())


def is_empty(folder: str) -> bool:
    """Whether no file lies below it, as below the place of a disk that is not mounted."""
    return next(scan([folder]), None) is None


def compare(
    store: Store, files: Iterable[FileStat], seen: Seen, retry: bool, counts: Counts
) -> list[FileStat]:
    """The files that are not as they were last read; `seen` and `counts` take in all of them."""
    work: list[FileStat] = []
    undated: list[tuple[bytes, FileStat]] = []
    own = roots.absolute(store.folder)
    unmet = set(seen.roots)
    with store.read() as txn:
        known = Roots.of(txn)
        for found in files:
            if is_within(found.path, own):
                continue
            if unmet:
                seen.met |= {root for root in unmet if is_within(found.path, root)}
                unmet -= seen.met
            key = path_key(known.stored(found.path))
            seen.keys.add(key)
            entry = txn.get("paths", key)
            past = None if entry is None else PathEntry.from_bytes(entry)
            if past is not None and past.is_still(found):
                counts.unchanged += 1
                if found.changed and not past.changed:
                    undated.append((key, found))
                continue
            skipped_file = txn.get("refused", key)
            if skipped_file is not None:
                skipped = SkippedFile.from_bytes(skipped_file)
                again = retry and skipped.reason is not None
                if skipped.is_still(found) and not again:
                    counts.skip(found, skipped.reason)
                    continue
            work.append(found)
    if undated:
        store.write(lambda txn: _date(txn, undated))
    return work


def _date(txn: Txn, undated: Iterable[tuple[bytes, FileStat]]) -> None:
    """Keep when files were last changed where an earlier format did not."""
    for key, found in undated:
        entry = txn.get("paths", key)
        if entry is not None:
            dated = replace(PathEntry.from_bytes(entry), changed=found.changed)
            txn.put("paths", key, dated.to_bytes())


def tidy(txn: Txn, seen: Seen | None) -> int:
    """End a run: take out the paths that are gone, where all was seen, then the photos without
    a path, and the roots without any. Returns how many photos went with their paths.
    """
    gone = []
    known = Roots.of(txn)
    if seen is not None:
        _keep_disks(txn, seen)
        for key, value in txn.items("paths"):
            if seen.misses(bytes(key), known.path(PathEntry.from_bytes(value).path)):
                gone.append(bytes(key))
        for key, value in txn.items("refused"):
            if seen.misses(bytes(key), known.path(SkippedFile.from_bytes(value).path)):
                gone.append(bytes(key))
    deleted = sum(forget(txn, key) for key in gone)
    for masked in list(txn.keys("deleted")):
        stored = txn.get("images", masked)
        if stored is not None:
            digest = bytes.fromhex(Record.from_bytes(stored).digest)
            txn.delete("images", masked)
            txn.delete("vectors", masked)
            txn.delete("digests", digest)
    save_significance(txn)
    if gone:
        _forget_roots(txn, known)
    return deleted


def _forget_roots(txn: Txn, known: Roots) -> None:
    paths = [PathEntry.from_bytes(value).path for _, value in txn.items("paths")]
    paths += [SkippedFile.from_bytes(value).path for _, value in txn.items("refused")]
    used = {int(path.partition("/")[0]) for path in paths}
    roots.forget(txn, set(known.places) - used)
