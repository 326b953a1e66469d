"""Small shards of a library merged into one."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from indexes.duplicates.ignored import NOT_COPIES
from indexes.library.build import building_folder, create_store, finish, photos_so_far, publish
from indexes.library.layout import (
    ENCODER,
    Layout,
    ShardPlan,
    is_complete,
    load_layout,
    shard_folder,
    shard_name,
)
from indexes.search import merging
from indexes.store.environment import Store
from indexes.store.locks import WriterLock
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
from mocosearch.encoder import Encoder

AT_ONCE = 1024
"""Photos of one transaction."""


def merge_shards(
    folder: Path, below: int, report: Callable[[int, int], None] = lambda done, total: None
) -> ShardPlan | None:
    """Merge the complete shards of fewer photos than `below`; None for fewer than two of those.

    The photos keep their ids and their keys: no file is read. Files of one content become one
    photo. Another program that reads the library continues with the old shards until it refreshes.
    report: called with the number of photos copied and the number to copy. Raises Busy, Damaged,
    StorageFailed.
    """
    lock = WriterLock(folder)
    try:
        layout = load_layout(folder)
        counts = {
            shard: photos_so_far(folder, shard)
            for shard in layout.shards
            if is_complete(folder, shard.name)
        }
        small = [shard for shard, photos in counts.items() if photos < below]
        if len(small) < 2:
            return None
        return _merge(folder, layout, small, sum(counts[one] for one in small), report)
    finally:
        lock.release()


def _merge(
    folder: Path,
    layout: Layout,
    small: Sequence[ShardPlan],
    total: int,
    report: Callable[[int, int], None],
) -> ShardPlan:
    numbers = tuple(sorted(number for shard in small for number in shard.numbers))
    result = ShardPlan(
        shard_name(layout.next_number),
        numbers,
        max(shard.plan for shard in small),
        sum(shard.files for shard in small),
    )
    target = shard_folder(folder, result.name)
    place = building_folder(folder, result.name, None)
    # What a merge left that was killed.
    for left in (target, place):
        shutil.rmtree(left, ignore_errors=True)
    place.mkdir(parents=True)
    store = create_store(place, layout, Encoder.open(folder / ENCODER), numbers[0])
    done = 0
    with closing(store):
        # The newest first: of a file that is in two shards, it has the present content.
        for shard in reversed(small):
            with closing(Store(shard_folder(folder, shard.name), writable=False)) as source:
                for count in _copy(source, store):
                    done += count
                    report(done, total)
        merging.rebuild(store)
        finish(store, folder, result.name)
        publish(store, target)
    shutil.rmtree(place, ignore_errors=True)
    others = [shard for shard in layout.shards if shard not in small]
    replace(layout, shards=(*others, result), next_number=layout.next_number + 1).save(folder)
    for shard in small:
        shutil.rmtree(shard_folder(folder, shard.name), ignore_errors=True)
    return result


def _copy(source: Store, target: Store) -> Iterator[int]:
    """Copy the photos of a store into another one; yields how many at a time."""
    with source.read() as old:
        places, items = Roots.of(old), old.items("images")
        while entries := list(islice(items, AT_ONCE)):
            photos = [(id_of(key), Record.from_bytes(value)) for key, value in entries]
            target.write(partial(_put_photos, old, places, photos))
            yield len(photos)
        target.write(partial(_put_rest, old, places))


def _put_photos(old: Txn, places: Roots, photos: Sequence[tuple[int, Record]], new: Txn) -> None:
    roots = Roots.of(new)
    for id, record in photos:
        digest = bytes.fromhex(record.digest)
        entries = []
        for path in record.paths:
            stored = old.get("paths", path_key(path))
            name = roots.relative(places.path(path))
            is_newer = new.get("paths", path_key(name)) or new.get("refused", path_key(name))
            if stored is not None and is_newer is None:
                entries.append(replace(PathEntry.from_bytes(stored), path=name))
        if not entries:
            continue
        same = new.get("digests", digest)
        key = id_key(id) if same is None else bytes(same)
        if same is None:
            new.put("digests", digest, key)
            new.put("vectors", key, bytes(old.get("vectors", key) or b""))
            before: list[str] = []
        else:
            before = Record.from_bytes(new.get("images", key) or b"").paths
        names = [*before, *(entry.path for entry in entries)]
        new.put("images", key, replace(record, paths=names).to_bytes())
        for entry in entries:
            entry = replace(entry, id=id_of(key))
            new.put("paths", path_key(entry.path), entry.to_bytes())
    save_next_id(new, max(next_id(new), 1 + max(id for id, _ in photos)))


def _put_rest(old: Txn, places: Roots, new: Txn) -> None:
    """The skipped files, and the groups that are no copies."""
    roots = Roots.of(new)
    for _, value in old.items("refused"):
        file = SkippedFile.from_bytes(value)
        name = roots.relative(places.path(file.path))
        if new.get("paths", path_key(name)) is None and not new.get("refused", path_key(name)):
            new.put("refused", path_key(name), replace(file, path=name).to_bytes())
    groups = [json.loads(bytes(txn.get("meta", NOT_COPIES) or b"[]")) for txn in (new, old)]
    if any(groups):
        new.put("meta", NOT_COPIES, json.dumps([*groups[0], *groups[1]]).encode())
