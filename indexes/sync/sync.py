"""Bring an index up to date with folders: new, changed, moved and deleted files."""

import os
import time
from collections.abc import Callable, Sequence

from indexes.search import merging
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.roots import Roots
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import (
    Coverage,
    clean_up,
    compare,
    is_empty,
    split_folders,
    unplugged_disks,
)
from indexes.sync.embed import embed
from mocosearch.encoder import Encoder
from mocosearch.photos import scan


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
        index_roots = Roots.of(txn)
    present, counts.absent = split_folders(folders, index_roots)
    store.write(lambda txn: roots.add(txn, present))
    scan_report = counts.scan_report
    coverage = Coverage(
        roots=list(present), unreadable=scan_report.unreadable, disks=scan_report.disks
    )
    to_read = compare(store, scan(present, exclude, scan_report), coverage, retry, counts)
    # A disk that was unplugged after the first check: its photos stay in the index.
    emptied = [root for root in present if root not in coverage.nonempty and is_empty(root)]
    coverage.roots = [root for root in present if root not in emptied]
    coverage.unplugged = unplugged_disks(store, coverage)
    counts.absent += [*emptied, *coverage.unplugged]
    if prune:
        coverage.roots += counts.absent
        counts.absent, coverage.unplugged = [], []
    embed(store, encoder, to_read, workers, counts, report, stopped)
    counts.interrupted = stopped()
    complete = None if counts.interrupted else coverage
    counts.deleted = store.write(lambda txn: clean_up(txn, complete))
    merging.merge(store)
    counts.seconds = time.monotonic() - start
    return counts


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
    merging.merge(store)
    return removed
