"""Sets of photos that may be copies: those with near hashes, and those without one."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from indexes.copies.compare import (
    BITS,
    COLUMNS,
    COSINE,
    COSINE_ALONE,
    ROWS,
    Hashes,
    Mask,
    Rows,
)
from indexes.store.records import Keys

Pairs = tuple[Rows, Rows]


class Union:
    """Disjoint sets of 0..n-1 (union-find)."""

    def __init__(self, n: int) -> None:
        self.parents = np.arange(n)

    def join(self, left: Rows, right: Rows) -> None:
        """Make one set of each pair's two."""
        while True:
            a, b = self.roots(left), self.roots(right)
            apart = a != b
            if not apart.any():
                return
            a, b, left, right = a[apart], b[apart], left[apart], right[apart]
            # A root points to a smaller one only, so there are no cycles.
            np.minimum.at(self.parents, np.maximum(a, b), np.minimum(a, b))

    def roots(self, rows: Rows) -> Rows:
        """For each row the smallest member of its set."""
        parents = self.parents[rows]
        while (self.parents[parents] != parents).any():
            parents = self.parents[parents]
        self.parents[rows] = parents
        return parents

    def sets(self) -> list[Rows]:
        """All of them, each ascending."""
        roots = self.roots(np.arange(len(self.parents)))
        order = np.argsort(roots, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(roots[order])) + 1)


def candidate_sets(
    keys: Keys,
    hashes: Hashes,
    raw: Mask,
    min_score: float = COSINE,
    turned: Pairs | None = None,
) -> list[Rows]:
    """Disjoint sets of rows, each ascending; no copy of a row is outside the row's set.

    hashes: uint64 (n,), 0 where there is none; those rows are compared by their keys (n, d).
    raw: which rows are raw files; raw files and developed pictures share no set. turned: further
    pairs that are copies.
    """
    union = Union(len(hashes))
    for kind in (raw, ~raw):
        rows = np.flatnonzero(kind & (hashes != 0))
        distinct, first, which = np.unique(hashes[rows], return_index=True, return_inverse=True)
        union.join(rows[first[which]], rows)
        for i, j in near_hashes(distinct, BITS):
            union.join(rows[first[i]], rows[first[j]])
    _join_unhashed(union, keys, hashes, raw, max(min_score, COSINE_ALONE))
    if turned is not None:
        same = raw[turned[0]] == raw[turned[1]]
        union.join(turned[0][same], turned[1][same])
    return union.sets()


def _join_unhashed(union: Union, keys: Keys, hashes: Hashes, raw: Mask, min_score: float) -> None:
    """Join each row without a hash with all rows of such a cosine."""
    for kind in (raw, ~raw):
        some, others = np.flatnonzero(kind & (hashes == 0)), np.flatnonzero(kind)
        for rows in np.split(some, range(ROWS, len(some), ROWS)):
            for part in np.split(others, range(COLUMNS, len(others), COLUMNS)):
                roots = union.roots(np.concatenate([rows, part]))
                if len(rows) and (roots != roots[0]).any():
                    # Rounding of a cosine must not lose a pair that is compared again.
                    near = keys[rows] @ keys[part].T >= min_score - 1e-4
                    for row, partners in zip(rows, near, strict=True):
                        union.join(np.full(int(partners.sum()), row), part[partners])


def near_hashes(hashes: Hashes, bits: int) -> Iterator[Pairs]:
    """All pairs i < j of hashes (n,) that differ in at most so many of their 64 bits.

    Cut into one piece more than bits may differ, two such hashes agree in one piece at least
    (Manku et al., "Detecting near-duplicates for web crawling", 2007, section 3). Sorted by a
    piece, hashes that agree in it are neighbours, and are compared at every distance there.
    """
    edges = np.linspace(0, 64, bits + 2).astype(int).tolist()
    masks = [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]
    for number, mask in enumerate(masks):
        order = np.argsort(hashes & mask, kind="stable")
        ordered = hashes[order]
        at, step = np.arange(len(hashes)), 0
        while len(at):
            step += 1
            at = at[at < len(hashes) - step]
            differ = ordered[at] ^ ordered[at + step]
            at, differ = at[differ & mask == 0], differ[differ & mask == 0]
            near = np.bitwise_count(differ) <= bits
            for before in masks[:number]:
                near &= differ & before != 0
            i, j = order[at[near]], order[at[near] + step]
            yield np.minimum(i, j), np.maximum(i, j)
