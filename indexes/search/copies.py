"""Copies: one picture in several files, resized, re-encoded or touched up.

Two measures must agree: the keys, which also find two photos of one scene alike, and the
perceptual hash, which tells those apart.
"""

from indexes.store.records import Record

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
