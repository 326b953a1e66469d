"""The map made equal to its index: learned once, then extended by new photos."""

import os
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from indexes.index import Index
from indexes.maps import stored
from indexes.maps.embedding import FEW, Report, embed, extend
from indexes.maps.stored import StoredMap
from indexes.search.filters import Where
from indexes.search.segments import are_in
from indexes.store.records import Ids

MOST = 100_000
"""Photos that a map is learned from; the others are placed among them, which is faster."""
MANY = 20_000
"""From so many photos on, the map is computed by a thread per core."""
FRESH = 0.5
"""A map is learned again when fewer of the photos than this share of what it could be learned from
were there when it was.
"""


def update(index: Index, report: Report) -> StoredMap:
    """The map of an index as it is now, stored beside it. It takes minutes for 100,000 photos.

    Raises StorageFailed and Damaged.
    """
    fingerprint, ids = index.encoder.card.fingerprint, index.among(Where())
    # Threads that wait for each other on a busy machine take longer than one for a small map.
    threads = 1 if len(ids) < MANY else os.cpu_count() or 1
    before = stored.load(index.folder, fingerprint)
    known = None if before is None else _without_deleted(before, ids)
    if known is None or known.learned.sum() < max(FRESH * min(len(ids), MOST), FEW):
        known = _learn(index, fingerprint, ids, threads, report)
    new = _shuffled(ids[~are_in(ids, np.sort(known.ids))])
    if len(new):
        known = _extend(index, known, new, threads, report)
    if before is None or known.version != before.version:
        stored.save(index.folder, known)
    return known


def _without_deleted(before: StoredMap, ids: Ids) -> StoredMap:
    present = are_in(before.ids, ids)
    return replace(
        before,
        ids=before.ids[present],
        points=before.points[present],
        learned=before.learned[present],
    )


def _learn(index: Index, fingerprint: str, ids: Ids, threads: int, report: Report) -> StoredMap:
    chosen = _shuffled(ids)[:MOST]
    keys = index.keys(chosen) if len(chosen) else np.zeros((0, index.encoder.dimension), np.float32)
    points = embed(keys, threads, report)
    learned: NDArray[np.bool_] = np.ones(len(chosen), np.bool_)
    return StoredMap(fingerprint, chosen, points, learned, stored.frame_of(points))


def _extend(index: Index, known: StoredMap, new: Ids, threads: int, report: Report) -> StoredMap:
    base = np.flatnonzero(known.learned)
    keys = index.keys(known.ids[base])
    points = extend(keys, known.points[base], index.keys(new), threads, report)
    return replace(
        known,
        ids=np.concatenate([known.ids, new]),
        points=np.concatenate([known.points, points]),
        learned=np.concatenate([known.learned, np.zeros(len(new), np.bool_)]),
    )


def _shuffled(ids: Ids) -> Ids:
    """In an order that is always the same: where a cell stands for many photos, any of them may be
    shown.
    """
    return ids[np.random.default_rng(0).permutation(len(ids))]
