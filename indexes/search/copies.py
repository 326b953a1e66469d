"""Copies: one picture in several files, resized, re-encoded or touched up.

Two measures must agree: the keys, which also find two photos of one scene alike, and the
perceptual hash, which tells those apart.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.search.nearest import Match
from indexes.search.segments import Keys
from indexes.search.snapshot import Snapshot
from indexes.store.records import Record

COLUMNS = 8192
"""Keys compared with one at once."""

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Alike = NDArray[np.bool_]

COSINE = 0.9
"""Least cosine of two copies' keys; a grey copy of a colourful picture has 0.92."""
SURE = 0.97
"""From this cosine on the hashes may differ in BITS; below it they must be the same. Between
the two, Caltech-101 has two photos of one person in one pose, and motorcycles of one catalogue,
with 2 to 4 bits between them."""
BITS = 4
"""Most bits of 64 in which the perceptual hashes of two copies differ."""
COSINE_ALONE = 0.98
"""Least cosine where there is no hash, in an index of an earlier version."""


def hash_of(record: Record) -> int:
    """The perceptual hash as a number; 0 where there is none, or no picture in the picture."""
    return int(record.perceptual or "0", 16)


def bits_apart(a: str, b: str) -> int:
    """In how many bits two hashes of as many hexadecimal digits differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def are_copies(a: Record, b: Record, cosine: float, least: float = COSINE) -> bool:
    """Whether two photos are one picture, by the cosine of their keys and their hashes."""
    if not (hash_of(a) and hash_of(b)):
        return cosine >= max(least, COSINE_ALONE)
    apart = bits_apart(a.perceptual, b.perceptual)
    return cosine >= least and apart <= (BITS if cosine >= SURE else 0)


def hashes_of(records: Sequence[Record]) -> Hashes:
    """The perceptual hashes as numbers, 0 for none."""
    return np.array([hash_of(record) for record in records], np.uint64)


def folded(snapshot: Snapshot, matches: Sequence[Match]) -> list[list[Match]]:
    """Each match with its copies among those after it; the order stays, best first.

    A copy goes with the first match that it is a copy of.
    """
    if len(matches) < 2:
        return [[match] for match in matches]
    keys = snapshot.keys([match.id for match in matches])
    hashes = hashes_of([match.record for match in matches])
    groups = parted(np.arange(len(matches)), lambda one, others: alike(keys, hashes, one, others))
    return [[matches[at] for at in group.tolist()] for group in groups]


def parted(rows: Rows, copies_of: Callable[[int, Rows], Alike]) -> Iterator[Rows]:
    """Rows in groups: the first that is left, then all that are copies of it, and so on.

    None is in a group by way of another: a slow pan is no row of copies. copies_of: says of some
    rows which are copies of one.
    """
    while len(rows):
        same = copies_of(int(rows[0]), rows[1:])
        yield np.concatenate([rows[:1], rows[1:][same]])
        rows = rows[1:][~same]


def alike(keys: Keys, hashes: Hashes, one: int, others: Rows, least: float = COSINE) -> Alike:
    """Which rows are copies of one; `are_copies` for many."""
    parts = np.split(others, range(COLUMNS, len(others), COLUMNS))
    return np.concatenate(
        [copies_by_row(keys, hashes, np.full_like(part, one), part, least) for part in parts]
    )


def copies_by_row(keys: Keys, hashes: Hashes, a: Rows, b: Rows, least: float) -> Alike:
    """Which pairs are copies, by cosine and hashes; cosines only where the hashes allow it."""
    apart = np.bitwise_count(hashes[a] ^ hashes[b])
    bare = (hashes[a] == 0) | (hashes[b] == 0)
    good: Alike = bare | (apart <= BITS)
    a, b, apart, bare = a[good], b[good], apart[good], bare[good]
    cosine = np.einsum("nd,nd->n", keys[a], keys[b])
    near = (cosine >= least) & (apart <= np.where(cosine >= SURE, BITS, 0))
    good[good] = np.where(bare, cosine >= max(least, COSINE_ALONE), near)
    return good
