"""Photos by their time, newest first: the order in which a collection is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from indexes.search.filters import Where
from indexes.search.segments import are_in
from indexes.search.view import View
from indexes.store import columns
from indexes.store.records import Ids

SAMPLE = 16
"""Photos of a month whose proportions are read."""


@dataclass(frozen=True)
class Month:
    """A month of a timeline.

    name: such as `2024-07`; None for the photos without a date, which come last. start: the place
    of its first photo. aspect: the sum of width/height, estimated from SAMPLE photos where there
    are more.
    """

    name: str | None
    start: int
    count: int
    aspect: float


class Timeline:
    """Some photos of one snapshot, newest first; equal times by descending id."""

    def __init__(self, ids: Ids, seconds: NDArray[np.int64]) -> None:
        """ids: uint64 (n,). seconds: (n,), since 1970, local; numpy's NaT, which sorts first, where
        it is unknown.
        """
        order = np.lexsort((ids, seconds))[::-1]
        self.ids: Ids = np.ascontiguousarray(ids[order])
        months = seconds[order].astype("M8[s]").astype("M8[M]")
        changes = np.flatnonzero(months.astype(np.int64)[1:] != months.astype(np.int64)[:-1]) + 1
        self._bounds: list[int] = [0, *changes.tolist(), len(ids)] if len(ids) else [0]
        self._months: list[Month] | None = None
        first = months[self._bounds[:-1]]
        self._names = [None if np.isnat(one) else str(one) for one in first]

    def __len__(self) -> int:
        return len(self.ids)

    def months(self, snapshot: View) -> Sequence[Month]:
        """The months that have photos, newest first. snapshot: that of these photos. Raises
        Damaged.
        """
        if self._months is None:
            self._months = [
                Month(name, start, end - start, (end - start) * self._aspect(snapshot, start, end))
                for name, (start, end) in zip(self._names, pairwise(self._bounds), strict=True)
            ]
        return self._months

    def span(self, month: str | None) -> tuple[int, int]:
        """First place of a month, and the one after its last; equal where it has no photo."""
        if month not in self._names:
            return 0, 0
        at = self._names.index(month)
        return self._bounds[at], self._bounds[at + 1]

    def place(self, id: int) -> int | None:
        """The place of a photo; None where it is not among these."""
        places = np.flatnonzero(self.ids == np.uint64(id))
        return int(places[0]) if len(places) else None

    def _aspect(self, snapshot: View, start: int, end: int) -> float:
        """The mean of width/height of a month."""
        some = np.unique(np.linspace(start, end - 1, min(SAMPLE, end - start)).astype(int))
        records = [snapshot.record(int(id)) for id in self.ids[some]]
        return float(np.mean([record.width / max(record.height, 1) for record in records]))


def timeline(snapshot: View, where: Where) -> Timeline:
    """The photos that meet some conditions. Raises what `Index.answer` raises for a filter."""
    only = snapshot.among(snapshot.resolve(where))
    ids, times = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for some in (some for part in snapshot.parts for some in columns.blocks(part.txn)):
        mask = are_in(some.ids, only)
        ids.append(some.ids[mask])
        times.append(some.plain("taken")[mask].astype(np.int64))
    return Timeline(np.concatenate(ids), np.concatenate(times))


def folder_counts(snapshot: View) -> dict[str, int]:
    """How many files each folder has, by absolute path; those in folders below it do not count.
    Raises Damaged.
    """
    totals: dict[str, int] = {}
    for part in snapshot.parts:
        counts: dict[str, int] = {}
        for some in columns.blocks(part.txn):
            texts, codes = some.coded("folder")
            for text, count in zip(texts, np.bincount(codes, minlength=len(texts)), strict=True):
                counts[text] = counts.get(text, 0) + int(count)
        for text, count in counts.items():
            folder = part.roots.path(text)
            totals[folder] = totals.get(folder, 0) + count
    return totals
