"""Merging of segments: keep them few and of the planned kind, and rebuild no more than needed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from indexes.search import kinds, segments
from indexes.search.kinds import Plan, Template
from indexes.search.segments import About, Halves
from indexes.search.significance import save_significance
from indexes.store import columns
from indexes.store.environment import Store
from indexes.store.records import Ids, id_key, id_of
from indexes.store.txn import Txn

MOST_SEGMENTS = 8
MOST_BYTES = 2 << 30
"""Of one FAISS index of float32 keys, with its links: an LMDB value may have 4 GiB, and a build
holds the index twice in memory. The kinds of `auto` take half of it."""
TIER = 4
"""A segment joins a merge if it is at most so many times as large as the segments merged so far.
So large segments are rebuilt rarely, and each key about log(n) times in all."""
REBUILT_AT_ONCE = 100_000
"""Keys per exact segment that a repair writes before it merges them."""
DELETED = 0.1
"""Share of a segment's keys that may belong to deleted photos before it is rebuilt."""


@dataclass(frozen=True, eq=False)
class Part:
    """What a merge needs of a segment."""

    number: bytes
    ids: Ids
    about: About
    deleted: int
    """How many of its keys belong to photos that are no longer in the store."""
    full: bool
    """Whether it is too large for another segment to join it."""


def plan(txn: Txn) -> Plan:
    """The kind and recall that this index is configured for."""
    stored = txn.get("meta", b"plan")
    return Plan(**json.loads(bytes(stored))) if stored is not None else Plan()


def save_plan(txn: Txn, plan: Plan) -> None:
    """Configure another kind or recall, for the merges that follow."""
    txn.put("meta", b"plan", json.dumps(asdict(plan)).encode())


def merge(store: Store, *, everything: bool = False, template: Template | None = None) -> bool:
    """Merge the segments that should be merged, or all; returns whether any was. Results stay the
    same. template: of the new FAISS indexes. Raises Damaged, StorageFailed.

    New FAISS indexes are built outside a transaction, written hidden, one by one, and put in place
    by one short transaction. So a build of minutes blocks no reader and does not run twice where
    the map must grow, and only one FAISS index is in memory.
    """
    with store.read() as txn:
        deleted = _removable(txn)
        parts, current = _parts(txn, deleted), plan(txn)
        selected = parts if everything else _select(parts, current)
        unfinished = segments.hidden(txn)
    if unfinished:
        store.write(segments.drop_hidden)
    if not selected and not len(deleted):
        return False
    ids = np.concatenate([np.empty(0, np.uint64), *(p.ids for p in selected)])
    ids = np.sort(ids[~np.isin(ids, deleted)])
    for some in _split(store, ids, current):
        _build(store, some, current, template)
    others = [p.ids for p in parts if p not in selected]

    def change(txn: Txn) -> None:
        for part in selected:
            segments.remove(txn, part.number)
        segments.reveal(txn)
        left = np.concatenate([segments.ids_of_all(txn, segments.REGIONS), *others])
        for id in deleted[~np.isin(deleted, left)]:
            txn.delete("deleted", id_key(int(id)))

    store.write(change)
    return bool(selected)


def rebuild(store: Store) -> int:
    """Build every FAISS index again from the stored keys, and all else that is derived; returns
    the number of keys.

    Raises Damaged where the stored keys themselves cannot be read, and StorageFailed.
    """

    def change(txn: Txn) -> int:
        for key in list(txn.keys("segments")):
            txn.delete("segments", key)
        regional = set(segments.ids_of_all(txn, segments.REGIONS).tolist())
        for key in list(txn.keys("deleted")):
            if txn.get("vectors", key) is None and id_of(key) not in regional:
                txn.delete("deleted", key)
        ids = np.array([id_of(key) for key in txn.keys("vectors")], np.uint64)
        for first in range(0, len(ids), REBUILT_AT_ONCE):
            some = ids[first : first + REBUILT_AT_ONCE]
            segments.append(txn, some.tolist(), np.concatenate(list(segments.read_keys(txn, some))))
        for derived in (segments.PHOTOS.hidden, b"chance", b"chance_of"):
            txn.delete("meta", derived)
        save_significance(txn)
        columns.rebuild(txn)
        return len(ids)

    count = store.write(change)
    merge(store, everything=True)
    return count


def deleted_ids(txn: Txn) -> Ids:
    """The ids of deleted photos whose keys are still in a segment, uint64 (n,), ascending."""
    return np.array([id_of(key) for key in txn.keys("deleted")], np.uint64)


def _removable(txn: Txn) -> Ids:
    """The deleted ids without a stored key; the other photos may still reappear in this run."""
    ids = deleted_ids(txn)
    present = [txn.get("vectors", id_key(int(id))) is not None for id in ids]
    removable: Ids = ids[~np.array(present, bool)]
    return removable


def _parts(txn: Txn, deleted: Ids) -> list[Part]:
    """All segments; deleted: the ids that a merge would drop."""
    parts = []
    for number in segments.numbers(txn):
        ids = np.frombuffer(bytes(segments.part(txn, number, b"ids")), np.uint64)
        about = segments.about(txn, number)
        count = int(np.isin(ids, deleted).sum())
        full = len(segments.part(txn, number, b"faiss")) > MOST_BYTES // 4
        parts.append(Part(number, ids, about, count, full))
    return parts


def _select(parts: Sequence[Part], plan: Plan) -> list[Part]:
    """The segments to merge."""
    if _is_outdated(parts, plan):
        return list(parts)
    worn = [p for p in parts if p.deleted > DELETED * len(p.ids)]
    by_size = sorted((p for p in parts if not p.full), key=lambda p: len(p.ids))
    if len(by_size) <= MOST_SEGMENTS:
        return worn
    group, size = by_size[:2], sum(len(p.ids) for p in by_size[:2])
    for part in by_size[2:]:
        if len(part.ids) > TIER * size:
            break
        group.append(part)
        size += len(part.ids)
    return [*group, *(p for p in worn if p not in group)]


def _is_outdated(parts: Sequence[Part], plan: Plan) -> bool:
    """Whether the largest segment was built for another kind or recall."""
    if not parts:
        return False
    about = max(parts, key=lambda p: len(p.ids)).about
    approximate = about.kind != segments.EXACT.kind
    return about.plan_kind != plan.kind or (approximate and about.plan_recall != plan.recall)


def _split(store: Store, ids: Ids, plan: Plan) -> list[Ids]:
    """Ids in parts whose FAISS indexes stay below MOST_BYTES."""
    if not len(ids):
        return []
    with store.read() as txn:
        dimension = next(segments.read_keys(txn, ids[:1])).shape[1]
    most = max(1, MOST_BYTES // (4 * dimension + kinds.links(plan.kind, dimension)))
    return np.array_split(ids, -(-len(ids) // most))


def _build(store: Store, ids: Ids, plan: Plan, template: Template | None) -> None:
    """Build a FAISS index over the keys of some photos and write it hidden."""
    ids = kinds.tuning_last(ids)
    with store.read() as txn:

        def rows(some: slice) -> Iterator[Halves]:
            return segments.read_keys(txn, ids[some])

        blob, about = kinds.build(rows, len(ids), plan, template)
    store.write(lambda txn: segments.put_hidden(txn, ids, blob, about))
