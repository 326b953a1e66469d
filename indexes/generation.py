"""A second generation of an index: new keys for all photos, by another encoder.

It grows as an index of its own, in a hidden folder of the first one, which keeps answering. When it
is complete, it replaces the first one by one rename. If the run is stopped or killed, the next one
continues it. Until the end the disk needs space for both.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from indexes.migrate import open_store
from indexes.parts import store as parts
from indexes.search import kinds, merging
from indexes.store.encoder import load_encoder
from indexes.store.environment import Store
from indexes.store.place import DATA, GENERATION
from indexes.store.records import PathEntry, SkippedFile, next_id, save_next_id
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import (
    Coverage,
    clean_up,
    compare,
    load_disks,
    split_folders,
    unplugged_disks,
)
from indexes.sync.embed import embed
from mocosearch.encoder import Encoder, regions
from mocosearch.errors import Damaged, NotFound
from mocosearch.photos import FileStat

USER_SETTINGS = (b"plan", b"not_copies", b"parts")
"""Entries of `meta` that people chose: the second generation takes them over."""
ID_GAP = 1 << 32
"""Ids that the first generation may use while the second one grows."""


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
    """Give every photo a new key by another encoder, then replace the index: see `Index.renew`.

    replace: calls a function that writes an environment into a folder, and puts that environment
    in place of the store's.
    """
    start = time.monotonic()
    counts = Counts()
    _check_folders(store, prune)
    with store.read() as txn:
        if parts.is_enabled(txn):
            regions.check(encoder)
    for other in unfinished_generations(store.folder):
        if other != _folder_of(store.folder, encoder):
            shutil.rmtree(other, ignore_errors=True)
    missing: set[int] = set()
    second = _open_second(store, encoder)
    try:
        with second.read() as txn:
            folders, own_encoder = list(Roots.of(txn).places.values()), load_encoder(txn)
        with store.read() as txn:
            coverage = Coverage(roots=folders, disks=load_disks(txn))
        to_read = compare(second, _files(store, missing), coverage, False, counts)
        try:
            embed(second, own_encoder, to_read, workers, counts, report, stopped)
        except NotFound:
            # A folder disappeared, and the old keys stay: this error says so.
            _check_folders(store, prune)
            raise
        counts.interrupted = stopped()
        if not counts.interrupted:
            # A disk that was unplugged in the meantime must not lose its photos.
            _check_folders(store, prune)
            second.write(lambda txn: clean_up(txn, coverage))
            parts.merge(second)
            second.write(lambda txn: Roots.of(txn).save(txn, store.folder))
    finally:
        second.close()
    if not counts.interrupted:
        folder = _folder_of(store.folder, encoder)
        replace(lambda target: _link(folder / DATA, target / DATA))
        shutil.rmtree(folder, ignore_errors=True)
        counts.deleted = len(missing)
    counts.seconds = time.monotonic() - start
    return counts


def _link(file: Path, target: Path) -> None:
    """A hard link where the disk supports it, so that the file survives a failure."""
    try:
        os.link(file, target)
    except OSError:
        os.replace(file, target)


def unfinished_generations(folder: Path) -> list[Path]:
    """The folders of second generations in the folder of an index."""
    return sorted(folder.glob(GENERATION + "*"))


def _folder_of(folder: Path, encoder: Encoder) -> Path:
    return folder / f"{GENERATION}{encoder.fingerprint}"


def _check_folders(store: Store, prune: bool) -> None:
    with store.read() as txn:
        folders = list(Roots.of(txn).places.values())
        absent = split_folders(folders, txn).absent
    absent += unplugged_disks(store, Coverage(roots=folders))
    if absent and not prune:
        raise NotFound(
            f"{', '.join(absent)}: missing or empty, so its photos cannot be given new keys",
            "mount the disk and run it again, or remove its photos with --prune",
        )


def _open_second(store: Store, encoder: Encoder) -> Store:
    """The second generation, open; started again if the one on disk does not match the first."""
    folder = _folder_of(store.folder, encoder)
    with store.read() as txn:
        kinds.check(merging.plan(txn), encoder.dimension)
        roots, first_id = Roots.of(txn), next_id(txn)
        settings = {name: bytes(txn.get("meta", name) or b"") for name in USER_SETTINGS}

    def copy_settings(txn: Txn) -> None:
        roots.save(txn)
        for name, value in settings.items():
            if value:
                txn.put("meta", name, value)
        # No id of the first generation, present or future, may mean another photo in the second.
        save_next_id(txn, max(first_id + ID_GAP, next_id(txn)))

    try:
        second = open_store(folder, wait=False, encoder=encoder)
        if not _has_roots(second, roots):
            second.close()
            raise Damaged("the second generation was started for other folders")
    except Damaged:
        shutil.rmtree(folder)
        second = open_store(folder, wait=False, encoder=encoder)
    try:
        second.write(copy_settings)
    except BaseException:
        second.close()
        raise
    return second


def _has_roots(second: Store, roots: Roots) -> bool:
    """Whether an unfinished generation has these roots, or none yet."""
    with second.read() as txn:
        return txn.get("meta", b"roots") is None or Roots.of(txn) == roots


def _files(store: Store, missing: set[int]) -> Iterator[FileStat]:
    """The files of an index, as they are now; `missing` gets the ids of photos without a file."""
    existing: set[int] = set()
    with store.read() as txn:
        roots = Roots.of(txn)
        for _, value in txn.items("paths"):
            entry = PathEntry.from_bytes(value)
            file = _file_stat(roots.path(entry.path), entry)
            (missing if file is None else existing).add(entry.id)
            if file is not None:
                yield file
        for _, value in txn.items("refused"):
            skipped = SkippedFile.from_bytes(value)
            file = _file_stat(roots.path(skipped.path), skipped)
            if file is not None:
                yield file
    missing -= existing


def _file_stat(path: str, entry: PathEntry | SkippedFile) -> FileStat | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # A file that may not be read exists, and is skipped for that reason.
        return FileStat(path, entry.size, entry.mtime)
    return FileStat.of(path, status)
