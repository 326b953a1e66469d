"""Copies that are turned or mirrored: by the hash in the other orientations, and the pictures."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from indexes.copies.compare import Hashes
from indexes.duplicates.pairs import Pairs
from indexes.duplicates.pictures import Thumbnails
from indexes.store.records import Record
from mocosearch.photos.perceptual import oriented_hashes

TURNED_BITS = 8
"""Most bits in which a turned copy's hash differs from the expected one: the median shifts, and a
quarter turn loses one wave."""


def turned_copies(records: Sequence[Record], hashes: Hashes, thumbnails: Thumbnails) -> Pairs:
    """Pairs i < j that are probably one picture, turned or mirrored; their files are read."""
    hashed = np.flatnonzero(hashes)
    packed = hashes[hashed].astype(">u8").view(np.uint8).reshape(-1, 8)
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexBinaryFlat(64)
    index.add(packed)
    pairs: set[tuple[int, int]] = set()
    for bits in oriented_hashes(np.unpackbits(packed, axis=1)):
        # FAISS returns distances below the limit, not equal to it.
        limits, _, rows = index.range_search(np.packbits(bits, axis=1), TURNED_BITS + 1)
        queries = np.repeat(np.arange(len(hashed)), np.diff(limits.astype(np.int64)))
        pairs |= {
            (int(a), int(b)) for a, b in zip(hashed[queries], hashed[rows], strict=True) if a < b
        }
    confirmed = [(a, b) for a, b in sorted(pairs) if thumbnails.turns(records[a], records[b])]
    both = np.array(confirmed, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
