"""Copies among many photos: pairs of them, found by their hashes and made sure of by their keys,
and groups around one of them.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from indexes.search.copies import (
    BITS,
    COLUMNS,
    COSINE,
    COSINE_ALONE,
    Alike,
    Hashes,
    Rows,
    copies_by_row,
)
from indexes.search.segments import Keys

ROWS = 1024
"""Keys compared with COLUMNS others at once: 32 MiB of cosines."""

Pairs = tuple[Rows, Rows]


class Joined:
    """Disjoint sets of 0..n-1 (union and find, with paths halved)."""

    def __init__(self, n: int) -> None:
        self.above = np.arange(n)

    def root(self, a: int) -> int:
        """The least of its set."""
        above = self.above
        while above[a] != a:
            above[a] = above[above[a]]
            a = int(above[a])
        return a

    def join_all(self, left: Rows, right: Rows) -> None:
        """Make one set of each pair's two."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            low, high = sorted((self.root(a), self.root(b)))
            self.above[high] = low

    def roots(self, rows: Rows) -> Rows:
        """The roots of many at once."""
        above = self.above[rows]
        while (self.above[above] != above).any():
            above = self.above[above]
        return above

    def together(self, left: Rows, right: Rows) -> Alike:
        """Which pairs are in one set."""
        same: Alike = self.roots(left) == self.roots(right)
        return same

    def sets(self) -> list[Rows]:
        """All of them, each ascending."""
        roots = self.roots(np.arange(len(self.above)))
        order = np.argsort(roots, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(roots[order])) + 1)


def copies(
    keys: Keys,
    hashes: Hashes,
    least: float = COSINE,
    settled: Callable[[Rows, Rows], Alike] | None = None,
) -> Iterator[Pairs]:
    """All pairs i < j of keys (n, d) whose cosine and hashes both say that they are copies.

    They come in parts, each pair once. A hash of 0 is none, and then the keys must be all but
    equal. Exact: no pair is missed. settled: says of pairs, as each part is reached, which need
    not be looked at any more; ten thousand frames of one still scene have 50 million.
    """
    for i, j in _candidates(keys, hashes, max(least, COSINE_ALONE)):
        if settled is not None:
            wanted = ~settled(i, j)
            i, j = i[wanted], j[wanted]
        for at in range(0, len(i), COLUMNS):
            a, b = i[at : at + COLUMNS], j[at : at + COLUMNS]
            good = copies_by_row(keys, hashes, a, b, least)
            yield a[good], b[good]


def _candidates(keys: Keys, hashes: Hashes, alone: float) -> Iterator[Pairs]:
    bare = np.flatnonzero(hashes == 0)
    # What rounding takes from a cosine must not lose a pair that is looked at again.
    yield from _near_keys(keys, bare, alone - 1e-4)
    hashed = np.flatnonzero(hashes)
    for i, j in near_hashes(hashes[hashed], BITS):
        yield hashed[i], hashed[j]


def _near_keys(keys: Keys, some: Rows, least: float) -> Iterator[Pairs]:
    """Pairs i < j of a cosine, of which one at least is among some rows; each pair is compared."""
    among = np.zeros(len(keys), bool)
    among[some] = True
    for top in range(0, len(some), ROWS):
        rows = some[top : top + ROWS]
        for start in range(0, len(keys), COLUMNS):
            i, j = np.nonzero(keys[rows] @ keys[start : start + COLUMNS].T >= least)
            i, j = rows[i], j + start
            # Of two that are both among them each is met as the other's.
            once = np.where(among[j], i < j, True)
            i, j = i[once], j[once]
            yield np.minimum(i, j), np.maximum(i, j)


def near_hashes(hashes: Hashes, bits: int) -> Iterator[Pairs]:
    """All pairs i < j of hashes (n,) that differ in at most so many of their 64 bits.

    Cut into one piece more than bits may differ, two such hashes agree in one piece at least
    (Manku et al., "Detecting near-duplicates for web crawling", 2007, section 3). Sorted by a
    piece, those that agree in it stand together, and are compared at every distance there.
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
