"""The photos of an index that are nearest to some keys, across its segments or one by one."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from indexes.search import merging
from indexes.search.filters import Where
from indexes.search.ranking import FIRST, best_of, reranked
from indexes.search.segments import Ids, Keys
from indexes.store.records import Record

if TYPE_CHECKING:
    from indexes.index import Index

EXACT = 5000
SPARSE = 0.02
"""So few photos, or so small a share, are compared one by one with the stored keys, whatever kind
the index is."""


@dataclass(frozen=True)
class Match:
    """One result: `score` is the cosine of query and key, -1..1."""

    id: int
    score: float
    record: Record


def answers(index: "Index", keys: Keys, k: int, where: Where | None) -> list[list[Match]]:
    """The k nearest photos to each of the keys, by cosine: see `Index.query`."""
    found = zip(*_nearest(index, keys, k, where), strict=True)
    return [_matches(index, scores, ids, where) for scores, ids in found]


def ranked(
    index: "Index", looks: Keys, k: int, where: Where | None, least: float | None
) -> list[Match]:
    """The k best photos for one question, the first ranked again: see `Index.search`."""
    scores, ids = best_of(*_nearest(index, looks, max(k, FIRST), where))
    if least is not None:
        scores, ids = scores[scores >= least], ids[scores >= least]
    if len(ids):
        order = reranked(looks, index.keys(ids[:FIRST]))
        scores[: len(order)], ids[: len(order)] = scores[order], ids[order]
    return _matches(index, scores[:k], ids[:k], where)


def _nearest(index: "Index", keys: Keys, k: int, where: Where | None) -> tuple[Keys, Ids]:
    """Scores, falling, and ids (n, k), or as many as there are; a place may be empty, id 0."""
    opened = index.prepare()
    deleted = merging.masked(index.txn)
    only = index.among(where) if where else None
    if only is not None and len(only) <= max(EXACT, SPARSE * index.txn.count("vectors")):
        found = [_exact(index, keys, only)] if len(only) else []
    else:
        found = [segment.search(keys, k, deleted, only) for segment in opened]
    if not found:
        return np.empty((len(keys), 0), np.float32), np.empty((len(keys), 0), np.uint64)
    scores = np.concatenate([s for s, _ in found], 1)
    ids = np.concatenate([i for _, i in found], 1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def _exact(index: "Index", keys: Keys, ids: Ids) -> tuple[Keys, Ids]:
    return keys @ index.keys(ids).T, np.broadcast_to(ids, (len(keys), len(ids)))


def _matches(index: "Index", scores: Keys, ids: Ids, where: Where | None) -> list[Match]:
    return [
        Match(int(id), float(score), _told(index, int(id), where))
        for score, id in zip(scores, ids, strict=True)
        if id
    ]


def _told(index: "Index", id: int, where: Where | None) -> Record:
    """A photo's record, with those of its paths that are asked for."""
    record = index.record(id)
    if where is None or len(record.paths) == 1:
        return record
    return replace(record, paths=[path for path in record.paths if where.lies_in(path)])
