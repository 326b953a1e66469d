"""Which files are new, changed or gone: the folders compared with the index."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from indexes.search.significance import save_significance
from indexes.store import features, roots
from indexes.store.environment import Store
from indexes.store.records import (
    PathEntry,
    Record,
    SkippedFile,
    id_of,
    path_key,
    to_path,
    to_text,
)
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync import dates
from indexes.sync.counts import Counts
from indexes.sync.entries import remove_path
from mocosearch.photos import FileStat, scan
from mocosearch.photos.failures import is_temporary
from mocosearch.photos.scan import Folders, is_within, roots_of, upwards

DISKS = b"disks"


@dataclass
class Coverage:
    """What a scan reached, and what it could not reach."""

    keys: set[bytes] = field(default_factory=set)
    """The path key of every file."""
    roots: list[str] = field(default_factory=list)
    """Scanned folders and files. A folder without any file may be a disk that is not mounted, and
    is not among them."""
    around: list[str] = field(default_factory=list)
    """Folders of which single files were scanned: the others that are missing are gone too."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be read."""
    disks: list[str] = field(default_factory=list)
    """Roots and folders below them that are on another disk than the folder around them."""
    unplugged: list[str] = field(default_factory=list)
    """Folders of which that was true at an earlier scan, and whose disk is not there now."""

    def judge(self) -> Callable[[bytes, str], bool]:
        """A function of path key and path: whether a file is gone, as far as the scan can tell."""
        scanned, around = Folders(self.roots), {*self.around}
        unclear = Folders([*self.unreadable, *self.unplugged])

        def is_gone(key: bytes, path: str) -> bool:
            if key in self.keys or unclear.contain(path):
                return False
            is_beside = os.path.dirname(path) in around
            return scanned.contain(path) or (is_beside and _is_missing(path))

        return is_gone


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class Split:
    """The folders and files that a run is given, by what it does with them."""

    present: list[str]
    """To scan; none is inside another."""
    deleted: list[str]
    """Files of the index that are missing, from folders with other files: they leave the index."""
    absent: list[str]
    """Missing or empty, and possibly on a disk that is not mounted: their photos stay."""


def split_folders(folders: Sequence[str | os.PathLike[str]], txn: Txn) -> Split:
    """Which folders and files can be scanned. Raises NotFound for a missing one of which the index
    holds nothing. An empty folder of which it holds nothing is left out.
    """
    paths = list(dict.fromkeys(map(roots.absolute, folders)))
    missing = {path for path in paths if not os.path.exists(path)}
    existing = roots_of([path for path in paths if path not in missing])
    empty = {path for path in existing if os.path.isdir(path) and is_empty(path)}
    unavailable = [path for path in paths if path in missing or path in empty]
    files, others = _known(txn, unavailable)
    roots_of(sorted(missing.difference(files, others)))
    deleted = {path for path in files if not is_vacant(os.path.dirname(path))}
    return Split(
        present=[path for path in existing if path not in empty],
        deleted=sorted(deleted),
        absent=[path for path in unavailable if path in others or path in files - deleted],
    )


def _known(txn: Txn, paths: Sequence[str]) -> tuple[set[str], set[str]]:
    """Which paths are files of an index, and which are its roots or folders with files of it."""
    index_roots = Roots.of(txn)
    places = {*index_roots.places.values()}
    files = {path for path in paths if _holds(txn, index_roots, path)}
    others = {path for path in paths if path in places and path not in files}
    unclear = {*paths} - files - others
    if unclear:
        for database, kind in (("paths", PathEntry), ("refused", SkippedFile)):
            for _, value in txn.items(database):
                path = index_roots.path(kind.from_bytes(value).path)
                others |= unclear.intersection(upwards(path))
    return files, others


def _holds(txn: Txn, index_roots: Roots, path: str) -> bool:
    if index_roots.number(path) is None:
        return False
    key = path_key(index_roots.relative(path))
    return txn.get("paths", key) is not None or txn.get("refused", key) is not None


def unplugged_disks(store: Store, coverage: Coverage) -> list[str]:
    """Disks mounted or linked at or below the scanned roots that seem to be unplugged.

    The place of one may be missing or empty. It may also hold other files, which a program wrote
    there without noticing; then it is on the disk of the folder around it, and files are missing.
    """
    with store.read() as txn:
        disks = {*load_disks(txn), *coverage.disks}
        scanned = Folders(coverage.roots)
        below = [disk for disk in sorted(disks) if scanned.contain(disk)]
        empty = {disk for disk in below if is_empty(disk)}
        replaced = {disk for disk in below if disk not in empty and not has_own_disk(disk)}
        incomplete = _with_missing_files(txn, replaced) if replaced else set()
    return [disk for disk in below if disk in empty or disk in incomplete]


def has_own_disk(folder: str) -> bool:
    """Whether a folder is on another disk than the one around it."""
    try:
        return os.stat(folder).st_dev != os.stat(os.path.dirname(folder)).st_dev
    except OSError:
        return False


def _with_missing_files(txn: Txn, folders: set[str]) -> set[str]:
    """The folders below which a file of the index is missing."""
    index_roots = Roots.of(txn)
    incomplete: set[str] = set()
    for _, value in txn.items("paths"):
        path = index_roots.path(PathEntry.from_bytes(value).path)
        around = folders.intersection(upwards(path)) - incomplete
        if around and _is_missing(path):
            incomplete |= around
    return incomplete


def load_disks(txn: Txn) -> list[str]:
    """Roots and folders below them that were on another disk when they were last scanned."""
    stored = txn.get("meta", DISKS)
    disks: list[str] = json.loads(bytes(stored)) if stored is not None else []
    return list(map(to_path, disks))


def _save_disks(txn: Txn, coverage: Coverage) -> None:
    """Store the disks of this scan, the unplugged ones, and those outside the scanned roots."""
    before = load_disks(txn)
    scanned = Folders(coverage.roots)
    outside = [disk for disk in before if not scanned.contain(disk)]
    after = sorted({*outside, *coverage.unplugged, *coverage.disks})
    if after != before:
        txn.put("meta", DISKS, json.dumps(list(map(to_text, after))).encode())


def is_vacant(folder: str) -> bool:
    """Whether a folder is missing, or has no entry at all. For a file: whether it is missing."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except NotADirectoryError:
        return False
    except OSError:
        return True


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
    with store.read() as txn:
        index_roots, undated = Roots.of(txn), dates.load(txn)
        for file in files:
            if is_within(file.path, own):
                continue
            key = path_key(index_roots.relative(file.path))
            coverage.keys.add(key)
            value = txn.get("paths", key)
            entry = None if value is None else PathEntry.from_bytes(value)
            if entry is not None and entry.is_unchanged(file) and entry.id not in undated:
                counts.unchanged += 1
                if file.changed and not entry.changed:
                    without_time.append((key, file))
                continue
            value = txn.get("refused", key)
            if value is not None:
                skipped = SkippedFile.from_bytes(value)
                reason = skipped.reason
                again = reason is not None and (retry or is_temporary(reason))
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
        is_gone = coverage.judge()
        for key, value in txn.items("paths"):
            if is_gone(bytes(key), index_roots.path(PathEntry.from_bytes(value).path)):
                missing_keys.append(bytes(key))
        for key, value in txn.items("refused"):
            if is_gone(bytes(key), index_roots.path(SkippedFile.from_bytes(value).path)):
                missing_keys.append(bytes(key))
    removed = sum(remove_path(txn, key) for key in missing_keys)
    gone_ids = list(txn.keys("deleted"))
    dates.remove(txn, map(id_of, gone_ids))
    for id in gone_ids:
        features.remove(txn, id_of(id))
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
