"""The map made equal to its index: learned once, then extended by new photos."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.maps import storage
from indexes.maps.embedding import FEW, Report, embed, extend
from indexes.maps.storage import CollectionMap
from indexes.search.filters import Where
from indexes.search.segments import are_in
from indexes.search.view import View
from indexes.store.records import Ids

MOST = 100_000
"""Photos that a map is learned from; the others are placed among them, which is faster."""
MANY = 20_000
"""From so many photos on, the map is computed by a thread per core."""
FRESH = 0.5
"""A map is learned again when fewer of the photos than this share of what it could be learned from
were there when it was.
"""


def update(snapshot: View, folder: Path, fingerprint: str, report: Report) -> CollectionMap:
    """The map of an index as it is now, stored in its folder. It takes minutes for 100,000 photos.

    fingerprint: of its encoder. Raises StorageFailed and Damaged.
    """
    ids = snapshot.among(Where())
    # Threads that wait for each other on a busy machine take longer than one for a small map.
    threads = 1 if len(ids) < MANY else os.cpu_count() or 1
    before = storage.load(folder, fingerprint)
    current = None if before is None else _without_deleted(before, ids)
    if current is None or current.reference.sum() < max(FRESH * min(len(ids), MOST), FEW):
        current = _learn(snapshot, fingerprint, ids, threads, report)
    new = _shuffled(ids[~are_in(ids, np.sort(current.ids))])
    if len(new):
        current = _extend(snapshot, current, new, threads, report)
    if before is None or current.version != before.version:
        storage.save(folder, current)
    return current


def _without_deleted(before: CollectionMap, ids: Ids) -> CollectionMap:
    present = are_in(before.ids, ids)
    return replace(
        before,
        ids=before.ids[present],
        points=before.points[present],
        reference=before.reference[present],
    )


def _learn(
    snapshot: View, fingerprint: str, ids: Ids, threads: int, report: Report
) -> CollectionMap:
    chosen = _shuffled(ids)[:MOST]
    keys = snapshot.keys(chosen) if len(chosen) else np.zeros((0, 1), np.float32)
    points = embed(keys, threads, report)
    reference: NDArray[np.bool_] = np.ones(len(chosen), np.bool_)
    return CollectionMap(fingerprint, chosen, points, reference, storage.frame_of(points))


def _extend(
    snapshot: View, current: CollectionMap, new: Ids, threads: int, report: Report
) -> CollectionMap:
    base = np.flatnonzero(current.reference)
    keys = snapshot.keys(current.ids[base])
    points = extend(keys, current.points[base], snapshot.keys(new), threads, report)
    return replace(
        current,
        ids=np.concatenate([current.ids, new]),
        points=np.concatenate([current.points, points]),
        reference=np.concatenate([current.reference, np.zeros(len(new), np.bool_)]),
    )


def _shuffled(ids: Ids) -> Ids:
    """In an order that is always the same: where a cell stands for many photos, any of them may be
    shown.
    """
    return ids[np.random.default_rng(0).permutation(len(ids))]
