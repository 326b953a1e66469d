"""Copies: one picture in several files, resized, re-encoded or retouched.

Three measures must agree: the keys, which are also similar for two photos of one scene; the
perceptual hash, which differs for those; and the detail of the files, which differs for two pages
of one layout.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Keys, Record

ROWS, COLUMNS = 256, 8192
"""Keys compared at once: 8 MiB of cosines."""
FEW = 1 << 14
"""Cosines that one thread computes."""

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]

COSINE = 0.9
"""Least cosine of two copies' keys; a grey copy of a colourful picture has 0.92."""
SURE = 0.97
"""From this cosine on the hashes may differ in BITS; below it they must be equal. Between the two
cosines, Caltech-101 has two photos of one person in one pose, and motorcycles of one catalogue,
whose hashes differ in 2 to 4 bits."""
BITS = 4
"""Most bits of 64 in which the perceptual hashes of two copies differ."""
COSINE_ALONE = 0.98
"""Least cosine where there is no hash, in an index of an earlier version."""


def hash_of(record: Record) -> int:
    """The perceptual hash as a number; 0 where there is none, or for a picture of one colour."""
    return int(record.perceptual or "0", 16)


def bits_apart(a: str, b: str) -> int:
    """The number of bits in which two hashes of equal length differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def are_copies(a: Record, b: Record, cosine: float, min_score: float = COSINE) -> bool:
    """Whether two photos are one picture, by the cosine of their keys and their hashes."""
    if not (hash_of(a) and hash_of(b)):
        return cosine >= max(min_score, COSINE_ALONE)
    apart = bits_apart(a.perceptual, b.perceptual)
    return cosine >= min_score and apart <= (BITS if cosine >= SURE else 0)


def hashes_of(records: Sequence[Record]) -> Hashes:
    """The perceptual hashes as numbers, 0 for none."""
    return np.array([hash_of(record) for record in records], np.uint64)


def group_rows(
    rows: Rows,
    copies_of: Callable[[Rows, Rows], Mask],
    confirm: Callable[[int, Rows], Mask],
) -> Iterator[Rows]:
    """Rows in groups: the first of those left with all its copies among them, and so on.

    A row never joins a group through a third one: the frames of a slow pan are not copies.
    copies_of: for rows (m,) and others (n,), which pairs are probable copies, bool (m, n). confirm:
    for the first row of a group and its probable copies (n,), which are copies, bool (n,).
    """
    while len(rows):
        some = rows[:ROWS]
        same = np.concatenate([copies_of(some, part) for part in _parts(rows)], 1)
        free = np.ones(len(rows), bool)
        for at in range(len(some)):
            if free[at]:
                members = same[at] & free
                members[at] = False
                if members.any():
                    members[members] = confirm(int(some[at]), rows[members])
                members[at] = True
                free &= ~members
                yield rows[members]
        rows = rows[free]


def copies_among(
    keys: Keys, hashes: Hashes, some: Rows, others: Rows, min_score: float = COSINE
) -> Mask:
    """Which pairs of rows are copies, bool (m, n): `are_copies` for many."""
    # Large sets of candidates share few hashes.
    left, left_at = np.unique(hashes[some], return_inverse=True)
    right, right_at = np.unique(hashes[others], return_inverse=True)
    needed = _needed_cosines(left[:, None], right[None], min_score)
    if np.isinf(needed).all():
        return np.zeros((len(some), len(others)), bool)
    if needed.size > 1:
        needed = needed[left_at[:, None], right_at[None]]
    copies: Mask = _cosines(keys[some], keys[others]) >= needed
    return copies


def _needed_cosines(some: Hashes, others: Hashes, min_score: float) -> Keys:
    """The lowest cosine of two copies with these hashes; infinite where they cannot be copies."""
    limits = np.full(65, np.inf, np.float32)
    limits[: BITS + 1] = max(min_score, SURE)
    limits[0] = min_score
    needed: Keys = limits[np.bitwise_count(some ^ others)]
    needed[(some == 0) | (others == 0)] = max(min_score, COSINE_ALONE)
    return needed


def _cosines(some: Keys, others: Keys) -> Keys:
    """The cosines of keys (m, d) and (n, d), (m, n).

    A few are multiplied in this thread: a query would wait 8 ms for the threads of numpy's BLAS
    while those of FAISS and OpenVINO still look for work.
    """
    if len(some) * len(others) > FEW:
        return some @ others.T
    cosines: Keys = np.einsum("md,nd->mn", some, others)
    return cosines


def _parts(rows: Rows) -> list[Rows]:
    return np.split(rows, range(COLUMNS, len(rows), COLUMNS))
