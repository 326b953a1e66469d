"""The photos nearest to some keys, among all segments or among those that a filter admits."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from indexes.search.filters import Where
from indexes.search.ranking import FIRST, best_of, rerank
from indexes.search.segments import are_in
from indexes.search.view import View
from indexes.store.records import Ids, Keys, Record


@dataclass(frozen=True)
class Match:
    """One photo and its score, the cosine of query and key, -1..1."""

    id: int
    score: float
    record: Record


def nearest(snapshot: View, keys: Keys, k: int, where: Where | None) -> list[list[Match]]:
    """The k nearest photos to each of the keys, by cosine: see `Index.query`."""
    rows = zip(*snapshot.search(keys, k, where), strict=True)
    return [_matches(snapshot, scores, ids, where) for scores, ids in rows]


def best_matches(
    snapshot: View,
    keys: Keys,
    k: int,
    where: Where | None,
    min_score: float | None,
    digests: Collection[str] = (),
) -> list[Match]:
    """The k best photos for the keys of one query, the first `ranking.FIRST` re-ranked.

    Each photo counts by its best score. digests: of files that come first, with the highest score:
    those of the query, of which a near copy may have the same cosine.
    """
    scores, ids = best_of(*snapshot.search(keys, max(k, FIRST), where))
    if min_score is not None:
        scores, ids = scores[scores >= min_score], ids[scores >= min_score]
    if len(ids):
        order = rerank(keys, snapshot.keys(ids[:FIRST]))
        scores[: len(order)], ids[: len(order)] = scores[order], ids[order]
        queried = are_in(
            ids, np.array([id for id in map(snapshot.id_of, digests) if id], np.uint64)
        )
        scores[queried] = scores.max()
        first = np.argsort(~queried, kind="stable")
        scores, ids = scores[first], ids[first]
    return _matches(snapshot, scores[:k], ids[:k], where)


def _matches(snapshot: View, scores: Keys, ids: Ids, where: Where | None) -> list[Match]:
    return [
        Match(int(id), float(score), record_of(snapshot, int(id), where))
        for score, id in zip(scores, ids, strict=True)
        if id
    ]


def record_of(snapshot: View, id: int, where: Where | None) -> Record:
    """A photo's record with those of its paths that the filter admits."""
    record = snapshot.record(id)
    if where is None or len(record.paths) == 1:
        return record
    return replace(record, paths=[path for path in record.paths if where.lies_in(path)])
