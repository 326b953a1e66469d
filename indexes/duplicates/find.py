"""Groups of near-identical pictures across a whole collection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexes.copies.compare import (
    COSINE,
    ROWS,
    Hashes,
    Mask,
    Rows,
    copies_among,
    group_rows,
    hashes_of,
)
from indexes.copies.detail import Details
from indexes.duplicates.files import is_raw, unchanged_files
from indexes.duplicates.groups import Group, group_name, rank
from indexes.duplicates.ignored import Ignored
from indexes.duplicates.pairs import Pairs, candidate_sets
from indexes.duplicates.pictures import Thumbnails
from indexes.duplicates.turned import turned_copies
from indexes.search.filters import Where
from indexes.search.view import View
from indexes.store.records import Keys, Record

SHARED = 64
"""Photos that may share a hash and still be compared by their pictures."""
_NO_PAIRS = np.empty(0, np.int64), np.empty(0, np.int64)


def groups(
    snapshot: View,
    min_score: float = COSINE,
    where: Where | None = None,
    turned: bool = False,
    keep: str = "largest",
    changed: set[str] | None = None,
) -> list[Group]:
    """Copies among the photos of an index, largest group first.

    min_score: the lowest cosine of two copies; their perceptual hashes must agree too. turned:
    find turned and mirrored copies too, by the hash in the 7 other orientations, confirmed by
    the pictures themselves. keep: as of `rank`; every member of a group is a copy of the one to
    keep. changed: receives the paths that are left out because the files are missing, unreadable,
    or differ from those that were indexed.

    The files of probable copies are read, and must agree in their detail (`detail.differ`).

    Files of one content, other than links to one file, are copies; a raw file and a picture
    developed from it are not. Groups that were ignored are left out.
    """
    where = where or Where()
    ids = snapshot.among(where)
    if not len(ids):
        return []
    records = [snapshot.record(int(id)) for id in ids]
    hashes = hashes_of(records)
    details, thumbnails = Details(), Thumbnails()
    pairs = turned_copies(records, hashes, thumbnails) if turned else _NO_PAIRS
    ignored, keys = Ignored.in_view(snapshot), snapshot.keys(ids)
    photos = _Photos(records, keys, hashes, min_score, pairs, ignored, details, thumbnails)
    gone = set() if changed is None else changed
    all_groups = [
        one
        for rows in photos.candidate_sets()
        if len(rows) > 1 or len(records[rows[0]].paths) > 1
        for one in _groups_of(snapshot, photos, rows, where.lies_in, keep, gone)
    ]
    gone |= details.unread
    return sorted(
        (one for one in all_groups if not photos.ignored.copies(one)),
        key=lambda g: (-len(g.members), g.members[0].path),
    )


@dataclass(frozen=True)
class _Photos:
    """The photos of an index, one per row, and what makes two of them copies."""

    records: list[Record]
    keys: Keys
    hashes: Hashes
    min_score: float
    turned: Pairs
    ignored: Ignored
    details: Details
    thumbnails: Thumbnails

    def candidate_sets(self) -> list[Rows]:
        """Disjoint sets of rows; no copy of a row is outside its set."""
        raw = np.array([is_raw(record) for record in self.records])
        return candidate_sets(self.keys, self.hashes, raw, self.min_score, self.turned)

    def copies_of(self, some: Rows, others: Rows) -> Mask:
        """Which pairs of rows of one set are copies, but for their detail, bool (m, n)."""
        same = copies_among(self.keys, self.hashes, some, others, self.min_score)
        if self.min_score <= COSINE and self.rare[some].any():
            self._compare_pictures(some, others, same)
        for at, row in enumerate(some.tolist()):
            if row in self.partners:
                same[at] |= np.isin(others, self.partners[row])
            for other in np.flatnonzero(same[at]) if self.ignored.groups else ():
                same[at, other] = not self.ignored.both(
                    self.records[row], self.records[others[other]]
                )
        return same

    def confirm(self, row: int, others: Rows) -> Mask:
        """Which probable copies of a row agree with it in detail, bool (n,)."""
        record, records = self.records[row], [self.records[other] for other in others.tolist()]
        equal = self.details.equal_among(record, records)
        for at in np.flatnonzero(~equal & np.isin(others, self.partners.get(row, ()))):
            ways = self.thumbnails.turns(record, records[at])
            equal[at] = any(self.details.equal(record, records[at], way) for way in ways)
        return equal

    def _compare_pictures(self, some: Rows, others: Rows, same: Mask) -> None:
        """Add copies whose keys differ although their hashes agree: strong blur and very small
        copies change a key. A hash that many photos share is no evidence.
        """
        uncertain = self.hashes[some, None] == self.hashes[None, others]
        uncertain &= self.rare[some, None] & ~same
        for at, other in np.argwhere(uncertain).tolist():
            same[at, other] = self.thumbnails.same(
                self.records[some[at]], self.records[others[other]]
            )

    @cached_property
    def rare(self) -> Mask:
        """Which rows have a hash that few others have, bool (n,)."""
        _, which, counts = np.unique(self.hashes, return_inverse=True, return_counts=True)
        few: Mask = (counts[which] <= SHARED) & (self.hashes != 0)
        return few

    @cached_property
    def partners(self) -> dict[int, list[int]]:
        """For each row the rows that show its picture turned."""
        partners: dict[int, list[int]] = {}
        for a, b in zip(*(side.tolist() for side in self.turned), strict=True):
            partners.setdefault(a, []).append(b)
            partners.setdefault(b, []).append(a)
        return partners


def _groups_of(
    snapshot: View,
    photos: _Photos,
    rows: Rows,
    admits: Callable[[str], bool],
    keep: str,
    changed: set[str],
) -> Iterator[Group]:
    """The groups among one set of rows; `changed` as of `groups`."""
    lost: dict[int, set[str]] = {row: set() for row in rows.tolist()}
    files = {
        row: unchanged_files(snapshot, photos.records[row], admits, lost[row])
        for row in rows.tolist()
    }
    best = {row: min(rank(m, keep) for m in files[row]) for row in files if files[row]}
    order = np.array(sorted(best, key=best.__getitem__), np.int64)
    for part in group_rows(order, photos.copies_of, photos.confirm):
        members = [member for row in sorted(part.tolist()) for member in files[row]]
        if len(members) > 1:
            name = group_name([photos.records[row] for row in part])
            best_member = min(members, key=lambda member: rank(member, keep))
            yield Group(name, _lowest(photos.keys[part]), members, best_member)
    for row in (row for row, paths in lost.items() if paths):
        several = len(photos.records[row].paths) > 1
        if several or photos.copies_of(np.array([row]), rows[rows != row]).any():
            changed |= lost[row]


def _lowest(keys: Keys) -> float:
    """The lowest cosine of any two keys, computed in parts because a group may be large."""
    parts = (keys[at : at + ROWS] @ keys[at:].T for at in range(0, len(keys), ROWS))
    return min(1.0, *(float(part.min()) for part in parts))
