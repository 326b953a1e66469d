"""Bring an index up to date with folders: new, changed, moved and deleted files."""

import os
import time
from collections.abc import Callable, Iterator, Sequence

from indexes.parts import store as parts
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync import dates
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import (
    Coverage,
    clean_up,
    compare,
    has_own_disk,
    is_empty,
    is_vacant,
    split_folders,
    unplugged_disks,
)
from indexes.sync.embed import embed
from mocosearch.encoder import Encoder
from mocosearch.photos import FileStat, scan

STOP_SECONDS = 0.2
"""Between two questions whether a scan is to stop."""


def sync_folders(
    store: Store,
    encoder: Encoder,
    folders: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str] = (),
    retry: bool = False,
    workers: int | None = None,
    prune: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Make the index equal to the folders; photos of other folders stay. See `Index.sync`.

    Raises NotFound for a missing folder, and StorageFailed; what was committed before stays.
    """
    start = time.monotonic()
    counts = Counts()
    with store.read() as txn:
        split = split_folders(folders, txn)
    # The root of a single file is its folder: thousands of files would be as many roots.
    places = {p: p if os.path.isdir(p) else os.path.dirname(p) for p in split.present}
    counts.absent = split.absent

    def prepare(txn: Txn) -> None:
        roots.add(txn, dict.fromkeys(places.values()))
        dates.list_once(txn)

    store.write(prepare)
    scan_report = counts.scan_report
    coverage = Coverage(unreadable=scan_report.unreadable, disks=scan_report.disks)
    files = _until(stopped, scan(split.present, exclude, scan_report))
    to_read = compare(store, files, coverage, retry, counts)
    # A disk that was unplugged after the first check: its photos stay in the index.
    emptied = [p for p in dict.fromkeys(places.values()) if _is_emptied(p, p in places)]
    left_out = {*emptied}
    coverage.roots = [path for path, place in places.items() if place not in left_out]
    coverage.roots += split.deleted
    coverage.around = list({place for path, place in places.items() if place != path} - left_out)
    coverage.disks += [place for place in dict.fromkeys(places.values()) if has_own_disk(place)]
    coverage.unplugged = unplugged_disks(store, coverage)
    counts.unmounted = [disk for disk in coverage.unplugged if not is_empty(disk)]
    counts.absent += [*emptied, *(d for d in coverage.unplugged if d not in counts.unmounted)]
    if prune:
        coverage.roots += counts.absent
        counts.absent, counts.unmounted, coverage.unplugged = [], [], []
    embed(store, encoder, to_read, workers, counts, report, stopped)
    counts.interrupted = stopped()
    complete = None if counts.interrupted else coverage
    counts.deleted = store.write(lambda txn: clean_up(txn, complete))
    parts.merge(store)
    counts.seconds = time.monotonic() - start
    return counts


def _until(stopped: Callable[[], bool], files: Iterator[FileStat]) -> Iterator[FileStat]:
    """The files of a scan, until it is stopped. Then the run counts as interrupted, and what the
    scan did not reach stays in the index.
    """
    asked = time.monotonic()
    for file in files:
        if time.monotonic() - asked > STOP_SECONDS:
            if stopped():
                return
            asked = time.monotonic()
        yield file


def _is_emptied(place: str, is_root: bool) -> bool:
    return is_empty(place) if is_root else is_vacant(place)


def remove_folder(store: Store, folder: str | os.PathLike[str]) -> int:
    """Remove a root, or a folder below one; returns how many photos were removed.

    Raises NotFound where the index has no such folder, and StorageFailed.
    """
    path = roots.absolute(folder)
    with store.read() as txn:
        index_roots = Roots.of(txn)
    if not index_roots.reach(path):
        raise roots.no_such_root(path, index_roots.places.values())
    removed = store.write(lambda txn: clean_up(txn, Coverage(roots=[path])))
    parts.merge(store)
    return removed
