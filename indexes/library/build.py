"""Building one shard of a library: complete or absent."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import lmdb

from indexes.library.layout import (
    BLOCK,
    BUILDING,
    ENCODER,
    Layout,
    ShardPlan,
    is_complete,
    load_layout,
    load_template,
    manifest_path,
    save_template,
    shard_folder,
)
from indexes.library.manifest import read_manifest
from indexes.search import merging, segments
from indexes.search.kinds import Plan, Template
from indexes.search.segments import EXACT
from indexes.store import roots
from indexes.store.encoder import save_encoder
from indexes.store.environment import Store
from indexes.store.place import DATA
from indexes.store.records import next_id, save_next_id
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync import dates
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import Coverage, clean_up, compare
from indexes.sync.embed import embed
from mocosearch.encoder import Encoder
from mocosearch.errors import StorageFailed
from mocosearch.photos import FileStat


def build_shard(
    folder: Path,
    name: str,
    *,
    scratch: Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Build a planned shard and put it into the library by a rename; nothing if it is complete.

    A build that was stopped or killed is continued by the next one with the same scratch. scratch:
    a folder on a local disk for the shard until it is complete; in the library if not given.
    workers: processes that decode. threads: of the encoder; both are one per core by default.

    Raises NotFound for an unknown shard and for a folder of photos that has disappeared, Busy where
    another program builds the same shard there, MissingPackage, Damaged, StorageFailed.
    """
    layout = load_layout(folder)
    shard = layout.shard(name)
    counts, start = Counts(), time.monotonic()
    place = building_folder(folder, shard.name, scratch)
    if is_complete(folder, shard.name):
        shutil.rmtree(place, ignore_errors=True)
        return counts
    encoder = Encoder.open(folder / ENCODER)
    encoder.threads = threads
    number = shard.numbers[0]
    entries = list(read_manifest(manifest_path(folder, shard.plan), number))
    ids = {file.path: id for id, file in entries}
    place.mkdir(parents=True, exist_ok=True)
    store = create_store(place, layout, encoder, number)
    try:
        files = [_present(file) for _, file in entries]
        to_read = compare(store, files, Coverage(), False, counts)
        embed(store, encoder, to_read, workers, counts, report, stopped, ids)
        counts.interrupted = stopped()
        if not counts.interrupted:
            store.write(lambda txn: clean_up(txn, None))
            finish(store, folder, shard.name)
            publish(store, shard_folder(folder, shard.name))
    finally:
        store.close()
    if not counts.interrupted:
        shutil.rmtree(place, ignore_errors=True)
    counts.seconds = time.monotonic() - start
    return counts


def building_folder(folder: Path, shard: str, scratch: Path | None) -> Path:
    """Where a shard is until it is complete."""
    if scratch is None:
        return folder / BUILDING / shard
    return scratch / f"{folder.absolute().name}-{shard}"


def create_store(place: Path, layout: Layout, encoder: Encoder, number: int) -> Store:
    """The store of a shard that is being built, open; continued where there is one."""

    def initialise(txn: Txn) -> None:
        dates.save_none(txn)
        save_encoder(txn, encoder)
        # Until it is complete: an approximate kind would be trained again and again.
        merging.save_plan(txn, Plan(EXACT.kind))
        save_next_id(txn, max(next_id(txn), number * BLOCK + 1))
        roots.add(txn, [p if os.path.isdir(p) else os.path.dirname(p) for p in layout.folders])

    return Store(place, writable=True, initialise=initialise)


def finish(store: Store, folder: Path, name: str) -> None:
    """One segment of the library's kind, and roots that are right in the shard's folder. The first
    shard of an approximate kind leaves its trained lists to the others.
    """
    template, layout = load_template(folder), load_layout(folder)
    store.write(lambda txn: merging.save_plan(txn, Plan(layout.kind, layout.recall)))
    merging.merge(store, everything=True, template=template)
    store.write(lambda txn: Roots.of(txn).save(txn, shard_folder(folder, name)))
    if template is not None:
        return
    with store.read() as txn:
        for number in segments.numbers(txn)[:1]:
            about = segments.about(txn, number)
            if about.settings:
                blob = segments.part(txn, number, b"faiss")
                save_template(folder, Template.of(about.kind, about.settings, blob))


def publish(store: Store, target: Path) -> None:
    """Copy the store of a shard without its free pages, and put the copy into its place by a
    rename. Raises StorageFailed.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        store.env.copy(os.fspath(part), compact=True)
        with open(part / DATA, "rb") as file:
            os.fsync(file.fileno())
        os.rename(part, target)
    except (OSError, lmdb.Error) as error:
        if not (target / DATA).is_file():
            reason = getattr(error, "strerror", None) or error
            raise StorageFailed(
                f"cannot write {target}: {reason}", "free some disk space there"
            ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _present(file: FileStat) -> FileStat:
    """A planned file as it is now; one that cannot be reached is reported when it is read."""
    try:
        return FileStat.of(file.path, os.stat(file.path))
    except OSError:
        return file


def photos_so_far(folder: Path, shard: ShardPlan) -> int:
    """How many photos a shard has a key of, built or not; 0 where nothing can be read."""
    place = shard_folder(folder, shard.name)
    if not is_complete(folder, shard.name):
        place = building_folder(folder, shard.name, None)
    if not (place / DATA).is_file():
        return 0
    store = Store(place, writable=False)
    try:
        with store.read() as txn:
            return txn.count("images")
    finally:
        store.close()
