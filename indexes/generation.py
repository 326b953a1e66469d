"""A second generation: every photo's key made anew by another encoder.

It grows as an index of its own in a hidden folder beside the first one, which goes on answering,
and takes its place by one rename when it is whole. A run that was stopped or killed goes on where
it was; both need room on the disk until then.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from indexes.migrate import open_store
from indexes.search import kinds, merging
from indexes.store.encoder import load_encoder
from indexes.store.environment import Store
from indexes.store.place import BEGUN, DATA
from indexes.store.records import PathEntry, SkippedFile, keep_next_id, next_id
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import Seen, away, compare, disks, present_and_absent, tidy
from indexes.sync.embed import embed
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged, NotFound
from mocosearch.photos import FileStat

CARRIED = (b"plan", b"not_copies")
"""What was asked for and decided by people."""
AHEAD = 1 << 32
"""Ids that the first generation may give while the second one grows."""


def renew(
    store: Store,
    encoder: Encoder,
    replace: Callable[[Callable[[Path], None]], None],
    *,
    workers: int | None = None,
    prune: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Give every photo of an index a new key, then let the new keys answer: see `Index.renew`.

    replace: puts the environment that a function writes into a folder in place of the store's.
    """
    begun = time.monotonic()
    counts = Counts()
    _all_there(store, prune)
    for other in unfinished(store.folder):
        if other != _place(store.folder, encoder):
            shutil.rmtree(other, ignore_errors=True)
    lost: set[int] = set()
    fresh = _second(store, encoder)
    try:
        with fresh.read() as txn:
            folders, maker = list(Roots.of(txn).places.values()), load_encoder(txn)
        with store.read() as txn:
            seen = Seen(roots=folders, disks=disks(txn))
        work = compare(fresh, _files(store, lost), seen, False, counts)
        embed(fresh, maker, work, workers, counts, report, stopped)
        counts.interrupted = stopped()
        if not counts.interrupted:
            # A disk that went away in the meantime has not taken its photos with it.
            _all_there(store, prune)
            fresh.write(lambda txn: tidy(txn, seen))
            merging.merge(fresh)
            fresh.write(lambda txn: Roots.of(txn).keep(txn, store.folder))
    finally:
        fresh.close()
    if not counts.interrupted:
        done = _place(store.folder, encoder)
        replace(lambda to: _placed(done / DATA, to / DATA))
        shutil.rmtree(done, ignore_errors=True)
        counts.deleted = len(lost)
    counts.seconds = time.monotonic() - begun
    return counts


def _placed(file: Path, to: Path) -> None:
    """Under a second name where the disk can, so that a failure leaves the first."""
    try:
        os.link(file, to)
    except OSError:
        os.replace(file, to)


def unfinished(folder: Path) -> list[Path]:
    """The folders of second generations that were begun in an index's folder."""
    return sorted(folder.glob(BEGUN + "*"))


def _place(folder: Path, encoder: Encoder) -> Path:
    return folder / f"{BEGUN}{encoder.fingerprint}"


def _all_there(store: Store, prune: bool) -> None:
    with store.read() as txn:
        known = Roots.of(txn)
    folders = list(known.places.values())
    _, absent = present_and_absent(folders, known)
    absent += away(store, Seen(roots=folders))
    if absent and not prune:
        raise NotFound(
            f"{', '.join(absent)}: missing or empty, so its photos cannot be given new keys",
            "mount the disk and run it again, or forget them with --prune",
        )


def _second(store: Store, encoder: Encoder) -> Store:
    """The second generation, open; begun again where the one on disk does not go with the first."""
    folder = _place(store.folder, encoder)
    with store.read() as txn:
        kinds.check(merging.plan(txn), encoder.dimension)
        first, next_one = Roots.of(txn), next_id(txn)
        carried = {name: bytes(txn.get("meta", name) or b"") for name in CARRIED}

    def carry(txn: Txn) -> None:
        first.keep(txn)
        for name, value in carried.items():
            if value:
                txn.put("meta", name, value)
        # No id of the first one may ever mean another photo, nor one that it gives meanwhile.
        keep_next_id(txn, max(next_one + AHEAD, next_id(txn)))

    try:
        fresh = open_store(folder, wait=False, encoder=encoder)
        if not _continues(fresh, first):
            fresh.close()
            raise Damaged("the second generation was begun for other folders")
    except Damaged:
        shutil.rmtree(folder)
        fresh = open_store(folder, wait=False, encoder=encoder)
    try:
        fresh.write(carry)
    except BaseException:
        fresh.close()
        raise
    return fresh


def _continues(fresh: Store, first: Roots) -> bool:
    """Whether what was begun has the roots of the first generation, or none yet."""
    with fresh.read() as txn:
        return txn.get("meta", b"roots") is None or Roots.of(txn) == first


def _files(store: Store, lost: set[int]) -> Iterator[FileStat]:
    """The files that an index knows, as they are now; `lost` gets the ids of photos without any."""
    held: set[int] = set()
    with store.read() as txn:
        known = Roots.of(txn)
        for _, value in txn.items("paths"):
            entry = PathEntry.from_bytes(value)
            found = _found(known.path(entry.path), entry)
            (lost if found is None else held).add(entry.id)
            if found is not None:
                yield found
        for _, value in txn.items("refused"):
            skipped_file = SkippedFile.from_bytes(value)
            found = _found(known.path(skipped_file.path), skipped_file)
            if found is not None:
                yield found
    lost -= held


def _found(path: str, before: PathEntry | SkippedFile) -> FileStat | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # One that may not be looked at is there, and is skipped with that reason.
        return FileStat(path, before.size, before.mtime)
    return FileStat.of(path, status)
