"""Keep the segments few and as they were wished for, without ever rebuilding more than needed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from indexes.search import kinds, segments
from indexes.search.kinds import Plan
from indexes.search.segments import About, Halves, Ids
from indexes.search.significance import save_significance
from indexes.store.environment import Store
from indexes.store.records import id_key, id_of
from indexes.store.txn import Txn

MOST_SEGMENTS = 8
MOST_BYTES = 2 << 30
"""Of one FAISS index of whole float32 keys, with its links: LMDB takes 4 GiB a value, and a build
holds it twice. The kinds chosen by size take half of it."""
TIER = 4
"""A segment joins a merge when it is at most so many times as large as what is merged yet, so
that a large one is rebuilt rarely and each key about log(n) times in all."""
REBUILT_AT_ONCE = 100_000
"""Keys of one exact segment, where all are put back before they are merged."""
DELETED = 0.1
"""Share of a segment's keys that may be masked."""


@dataclass(frozen=True, eq=False)
class Part:
    """A segment as far as a merge must know it."""

    number: bytes
    ids: Ids
    about: About
    masked: int
    """Of its keys, those whose photos are gone."""
    full: bool
    """So large that no other segment joins it."""


def plan(txn: Txn) -> Plan:
    """The kind and recall that this index was asked for."""
    stored = txn.get("meta", b"plan")
    return Plan(**json.loads(bytes(stored))) if stored is not None else Plan()


def keep_plan(txn: Txn, wished: Plan) -> None:
    """Ask for another kind or recall."""
    txn.put("meta", b"plan", json.dumps(asdict(wished)).encode())


def merge(store: Store, *, everything: bool = False) -> bool:
    """Merge what should be; whether anything was. Answers stay the same.

    FAISS indexes are built beside the data, written one by one where nobody sees them, and put in
    place by one short transaction: a build of minutes neither holds up readers nor runs twice
    where the map must grow, and no more than one of them is in memory.
    """
    with store.read() as txn:
        deleted = _gone(txn)
        parts, wished = _parts(txn, deleted), plan(txn)
        chosen = parts if everything else _chosen(parts, wished)
        unfinished = segments.hidden(txn)
    if unfinished:
        store.write(segments.drop_hidden)
    if not chosen and not len(deleted):
        return False
    ids = np.concatenate([np.empty(0, np.uint64), *(p.ids for p in chosen)])
    ids = np.sort(ids[~np.isin(ids, deleted)])
    for some in _split(store, ids, wished):
        _build(store, some, wished)
    others = [p.ids for p in parts if p not in chosen]

    def change(txn: Txn) -> None:
        for part in chosen:
            segments.remove(txn, part.number)
        segments.reveal(txn)
        left = np.concatenate([np.empty(0, np.uint64), *others])
        for id in deleted[~np.isin(deleted, left)]:
            txn.delete("deleted", id_key(int(id)))

    store.write(change)
    return bool(chosen)


def rebuild(store: Store) -> int:
    """Build every search index again from the stored keys; how many keys there are.

    Raises Damaged where the stored keys themselves cannot be read, and StorageFailed.
    """

    def change(txn: Txn) -> int:
        for key in list(txn.keys("segments")):
            txn.delete("segments", key)
        for key in list(txn.keys("deleted")):
            if txn.get("vectors", key) is None:
                txn.delete("deleted", key)
        ids = np.array([id_of(key) for key in txn.keys("vectors")], np.uint64)
        for first in range(0, len(ids), REBUILT_AT_ONCE):
            some = ids[first : first + REBUILT_AT_ONCE]
            segments.append(txn, some.tolist(), np.concatenate(list(segments.read_keys(txn, some))))
        for derived in (segments.HIDDEN, b"chance", b"chance_of"):
            txn.delete("meta", derived)
        save_significance(txn)
        return len(ids)

    count = store.write(change)
    merge(store, everything=True)
    return count


def masked(txn: Txn) -> Ids:
    """The ids of deleted photos whose keys are still in a segment."""
    return np.array([id_of(key) for key in txn.keys("deleted")], np.uint64)


def _gone(txn: Txn) -> Ids:
    """The masked ids whose photos are out of the store; others may yet come back in this run."""
    ids = masked(txn)
    there = [txn.get("vectors", id_key(int(id))) is not None for id in ids]
    gone: Ids = ids[~np.array(there, bool)]
    return gone


def _parts(txn: Txn, deleted: Ids) -> list[Part]:
    """All segments; `deleted` are the ids that a merge would drop."""
    found = []
    for number in segments.numbers(txn):
        ids = np.frombuffer(bytes(segments.part(txn, number, b"ids")), np.uint64)
        told = segments.about(txn, number)
        worn = int(np.isin(ids, deleted).sum())
        full = len(segments.part(txn, number, b"faiss")) > MOST_BYTES // 4
        found.append(Part(number, ids, told, worn, full))
    return found


def _chosen(parts: Sequence[Part], wished: Plan) -> list[Part]:
    """Which segments to merge."""
    if _outdated(parts, wished):
        return list(parts)
    worn = [p for p in parts if p.masked > DELETED * len(p.ids)]
    by_size = sorted((p for p in parts if not p.full), key=lambda p: len(p.ids))
    if len(by_size) <= MOST_SEGMENTS:
        return worn
    merged, size = by_size[:2], sum(len(p.ids) for p in by_size[:2])
    for part in by_size[2:]:
        if len(part.ids) > TIER * size:
            break
        merged.append(part)
        size += len(part.ids)
    return [*merged, *(p for p in worn if p not in merged)]


def _outdated(parts: Sequence[Part], wished: Plan) -> bool:
    """Whether the largest segment is not of the kind or recall that is asked for now."""
    if not parts:
        return False
    told = max(parts, key=lambda p: len(p.ids)).about
    approximate = told.kind != segments.EXACT.kind
    return told.asked != wished.kind or (approximate and told.wanted != wished.recall)


def _split(store: Store, ids: Ids, wished: Plan) -> list[Ids]:
    """Photos in parts whose FAISS indexes stay below MOST_BYTES."""
    if not len(ids):
        return []
    with store.read() as txn:
        dimension = next(segments.read_keys(txn, ids[:1])).shape[1]
    most = max(1, MOST_BYTES // (4 * dimension + kinds.links(wished.kind, dimension)))
    return np.array_split(ids, -(-len(ids) // most))


def _build(store: Store, ids: Ids, wished: Plan) -> None:
    """A FAISS index over some photos' keys, written where nobody sees it yet."""
    ids = kinds.arranged(ids)
    with store.read() as txn:

        def rows(some: slice) -> Iterator[Halves]:
            return segments.read_keys(txn, ids[some])

        blob, told = kinds.build(rows, len(ids), wished)
    store.write(lambda txn: segments.put_hidden(txn, ids, blob, told))
