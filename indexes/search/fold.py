"""The copies among a question's results, which are one result."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexes.copies.compare import Mask, Rows, copies_among, group_rows, hashes_of
from indexes.search.nearest import Match
from indexes.search.snapshot import Snapshot
from indexes.store.records import Record

if TYPE_CHECKING:
    from indexes.copies.detail import Details

COMPARED = 24
"""Pairs of files that a search compares in detail; it must answer fast."""


def fold_copies(snapshot: Snapshot, matches: Sequence[Match]) -> Iterable[list[Match]]:
    """Each match with its copies among those after it; the order stays, best first.

    A copy goes with the first match that it is a copy of. Files of probable copies are read to
    compare their detail, up to COMPARED pairs, the best matches first. The others stay alone, as do
    files that cannot be read.
    """
    if len(matches) < 2:
        return [[match] for match in matches]
    keys = snapshot.keys([match.id for match in matches])
    records = [match.record for match in matches]
    hashes = hashes_of(records)
    rows = np.arange(len(matches))
    groups = group_rows(
        rows,
        lambda some, others: copies_among(keys, hashes, some, others),
        _confirm_by_detail(records),
    )
    return ([matches[at] for at in rows.tolist()] for rows in groups)


def _confirm_by_detail(records: Sequence[Record]) -> Callable[[int, Rows], Mask]:
    """For a row and others (n,), which show the same detail, bool (n,); see COMPARED."""
    details: Details | None = None
    left = COMPARED

    def confirm(row: int, others: Rows) -> Mask:
        nonlocal details, left
        if details is None:
            # A query without copies does not import it.
            from indexes.copies.detail import Details

            details = Details()
        chosen = others[:left]
        left -= len(chosen)
        equal = np.zeros(len(others), bool)
        equal[: len(chosen)] = details.equal_among(records[row], [records[at] for at in chosen])
        return equal

    return confirm
