"""Copies: one picture in several files, resized, re-encoded or retouched.

Two measures must agree. The cosine of the keys is also high for two photos of one scene; the
perceptual hash separates those.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.search.nearest import Match
from indexes.search.segments import Keys
from indexes.search.snapshot import Snapshot
from indexes.store.records import Record

COLUMNS = 8192
"""Keys compared with one key at once."""

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Alike = NDArray[np.bool_]

COSINE = 0.9
"""Lowest cosine of two copies' keys; a grey copy of a colourful picture has 0.92."""
SURE = 0.97
"""From this cosine on, the hashes may differ in BITS; below it they must be equal. Between the two
cosines, Caltech-101 has two photos of one person in one pose, and motorcycles of one catalogue,
whose hashes differ in 2 to 4 bits."""
BITS = 4
"""Highest number of bits, of 64, in which the perceptual hashes of two copies differ."""
COSINE_ALONE = 0.98
"""Lowest cosine if there is no hash, as in an index of an earlier version."""


def hash_of(record: Record) -> int:
    """The perceptual hash as a number; 0 if there is none, or the picture has one colour."""
    return int(record.perceptual or "0", 16)


def bits_apart(a: str, b: str) -> int:
    """The number of bits in which two hashes differ; both have as many hexadecimal digits."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def are_copies(a: Record, b: Record, cosine: float, min_cosine: float = COSINE) -> bool:
    """Whether two photos are one picture, by the cosine of their keys and by their hashes."""
    if not (hash_of(a) and hash_of(b)):
        return cosine >= max(min_cosine, COSINE_ALONE)
    apart = bits_apart(a.perceptual, b.perceptual)
    return cosine >= min_cosine and apart <= (BITS if cosine >= SURE else 0)


def hashes_of(records: Sequence[Record]) -> Hashes:
    """The perceptual hashes as numbers, 0 for none."""
    return np.array([hash_of(record) for record in records], np.uint64)


def fold_copies(snapshot: Snapshot, matches: Sequence[Match]) -> list[list[Match]]:
    """Groups of copies in the order of their first match.

    A match joins the group of the first match that it is a copy of.
    """
    if len(matches) < 2:
        return [[match] for match in matches]
    keys = snapshot.keys([match.id for match in matches])
    hashes = hashes_of([match.record for match in matches])
    groups = partition(
        np.arange(len(matches)), lambda one, others: alike(keys, hashes, one, others)
    )
    return [[matches[at] for at in group.tolist()] for group in groups]


def partition(rows: Rows, copies_of: Callable[[int, Rows], Alike]) -> Iterator[Rows]:
    """Groups of rows: the first remaining row and all its copies, then the next.

    Every member is a copy of the first: the frames of a slow pan are not one group. copies_of:
    which of some rows are copies of one row.
    """
    while len(rows):
        same = copies_of(int(rows[0]), rows[1:])
        yield np.concatenate([rows[:1], rows[1:][same]])
        rows = rows[1:][~same]


def alike(keys: Keys, hashes: Hashes, one: int, others: Rows, min_cosine: float = COSINE) -> Alike:
    """Which rows are copies of one row: `are_copies` for many."""
    parts = np.split(others, range(COLUMNS, len(others), COLUMNS))
    return np.concatenate(
        [copies_by_row(keys, hashes, np.full_like(part, one), part, min_cosine) for part in parts]
    )


def copies_by_row(keys: Keys, hashes: Hashes, a: Rows, b: Rows, min_cosine: float) -> Alike:
    """Which pairs a[i], b[i] are copies. Cosines are computed only where the hashes allow it."""
    apart = np.bitwise_count(hashes[a] ^ hashes[b])
    no_hash = (hashes[a] == 0) | (hashes[b] == 0)
    good: Alike = no_hash | (apart <= BITS)
    a, b, apart, no_hash = a[good], b[good], apart[good], no_hash[good]
    cosine = np.einsum("nd,nd->n", keys[a], keys[b])
    near = (cosine >= min_cosine) & (apart <= np.where(cosine >= SURE, BITS, 0))
    good[good] = np.where(no_hash, cosine >= max(min_cosine, COSINE_ALONE), near)
    return good
