"""Bring an index up to date with folders: what is new, changed, moved or gone."""

import os
import time
from collections.abc import Callable, Sequence

from indexes.search import merging
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.roots import Roots
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import Seen, away, compare, is_empty, present_and_absent, tidy
from indexes.sync.embed import embed
from mocosearch.encoder import Encoder
from mocosearch.photos import scan


def sync(
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
    """Make the index equal to the folders, as far as they reach; others keep their photos.

    exclude: patterns of names and paths to leave out, as of `scan`; photos that they leave out
    are taken out of the index too.
    retry: read skipped files again, though they have not changed.
    workers: processes that decode; one a core if not given.
    prune: believe a known folder that is missing or empty, and take its photos out.
    stopped: asked between batches; once true, what is read so far is committed and the rest
    left for another run.

    Raises NotFound for a missing folder, and StorageFailed; what was committed before stays.
    """
    begun = time.monotonic()
    counts = Counts()
    with store.read() as txn:
        known = Roots.of(txn)
    present, counts.absent = present_and_absent(folders, known)
    store.write(lambda txn: roots.add(txn, present))
    scan_report = counts.scan_report
    seen = Seen(roots=list(present), unreadable=scan_report.unreadable, disks=scan_report.disks)
    files = scan(present, exclude, scan_report)
    work = compare(store, files, seen, retry, counts)
    # A disk that went away after the first look has not taken its photos with it.
    went = [root for root in present if root not in seen.met and is_empty(root)]
    seen.roots = [root for root in present if root not in went]
    seen.away = away(store, seen)
    counts.absent += [*went, *seen.away]
    if prune:
        seen.roots += counts.absent
        counts.absent, seen.away = [], []
    embed(store, encoder, work, workers, counts, report, stopped)
    counts.interrupted = stopped()
    whole = None if counts.interrupted else seen
    counts.deleted = store.write(lambda txn: tidy(txn, whole))
    merging.merge(store)
    counts.seconds = time.monotonic() - begun
    return counts


def remove(store: Store, folder: str | os.PathLike[str]) -> int:
    """Take a root, or a folder below one, out of the index; returns how many photos went.

    Raises NotFound where the index knows no such folder, and StorageFailed.
    """
    path = roots.absolute(folder)
    with store.read() as txn:
        known = Roots.of(txn)
    if not known.reach(path):
        raise roots.unknown(path, known.places.values())
    deleted = store.write(lambda txn: tidy(txn, Seen(roots=[path])))
    merging.merge(store)
    return deleted
