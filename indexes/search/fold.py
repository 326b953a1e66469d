"""The copies among a question's results, which are one result."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexes.copies.compare import Mask, Rows, copies_among, group_rows, hashes_of
from indexes.search.nearest import Match
from indexes.search.view import View

if TYPE_CHECKING:
    from indexes.copies.detail import Details

COMPARED = 24
"""Pairs of files that a search compares in detail; it must answer fast."""


class Comparison:
    """Compares the detail of photos for one answer: each pair once, although each of the answer's
    searches folds its results again.
    """

    def __init__(self) -> None:
        self._details: Details | None = None
        self._equal: dict[tuple[int, int], bool] = {}
        """For the ids of two photos, whether they show the same detail."""

    def confirm(self, matches: Sequence[Match]) -> Callable[[int, Rows], Mask]:
        """For one search: for a row and others (n,), which show the same detail, bool (n,).

        Pairs beyond COMPARED new ones count as different.
        """
        left = COMPARED

        def confirm(row: int, others: Rows) -> Mask:
            nonlocal left
            one = matches[row]
            pairs = [(one.id, matches[other].id) for other in others.tolist()]
            rows = zip(pairs, others.tolist(), strict=True)
            new = [matches[other] for pair, other in rows if pair not in self._equal][:left]
            left -= len(new)
            self._compare(one, new)
            return np.array([self._equal.get(pair, False) for pair in pairs], bool)

        return confirm

    def _compare(self, one: Match, others: Sequence[Match]) -> None:
        if not others:
            return
        if self._details is None:
            # A query without copies does not import it.
            from indexes.copies.detail import Details

            self._details = Details()
        equal = self._details.equal_among(one.record, [other.record for other in others])
        for other, is_equal in zip(others, equal.tolist(), strict=True):
            self._equal[one.id, other.id] = is_equal


def fold_copies(
    snapshot: View, matches: Sequence[Match], comparison: Comparison
) -> Iterable[list[Match]]:
    """Each match with its copies among those after it; the order stays, best first.

    A copy goes with the first match that it is a copy of. Files of probable copies are read to
    compare their detail, up to COMPARED pairs, the best matches first. The others stay alone, as do
    files that cannot be read.
    """
    if len(matches) < 2:
        return [[match] for match in matches]
    keys = snapshot.keys([match.id for match in matches])
    hashes = hashes_of([match.record for match in matches])
    groups = group_rows(
        np.arange(len(matches)),
        lambda some, others: copies_among(keys, hashes, some, others),
        comparison.confirm(matches),
    )
    return ([matches[at] for at in rows.tolist()] for rows in groups)
