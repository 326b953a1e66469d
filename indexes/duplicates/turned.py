"""Copies that are turned or mirrored: by the hash in the other orientations, and the pictures."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexes.duplicates.pairs import Pairs
from indexes.search.copies import Hashes
from indexes.search.segments import Keys
from indexes.store.records import Record
from mocosearch.errors import Unreadable
from mocosearch.photos.decode import upright
from mocosearch.photos.perceptual import orientations, turned

TURNED_BITS = 8
"""Most bits in which a turned copy's hash differs from what is expected of it: the median
shifts, and a quarter turn loses one wave."""
ALIKE = 0.9
"""Least correlation of two turned copies' thumbnails, laid over each other."""
THUMBNAIL = 24


def turned_copies(records: Sequence[Record], hashes: Hashes) -> Pairs:
    """Pairs i < j that are one picture, the one turned or mirrored; files are read to be sure."""
    known = np.flatnonzero(hashes)
    packed = hashes[known].astype(">u8").view(np.uint8).reshape(-1, 8)
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexBinaryFlat(64)
    index.add(packed)
    pairs: set[tuple[int, int]] = set()
    for bits in turned(np.unpackbits(packed, axis=1)):
        # FAISS finds what differs in less.
        limits, _, rows = index.range_search(np.packbits(bits, axis=1), TURNED_BITS + 1)
        asked = np.repeat(np.arange(len(known)), np.diff(limits.astype(np.int64)))
        pairs |= {(int(a), int(b)) for a, b in zip(known[asked], known[rows], strict=True) if a < b}
    # Each file is read once, however many it may be a copy of.
    small = {row: _thumbnail(records[row]) for row in {row for pair in pairs for row in pair}}
    sure = [(a, b) for a, b in sorted(pairs) if _laid_over(small[a], small[b])]
    both = np.array(sure, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _laid_over(one: Keys | None, other: Keys | None) -> bool:
    """Whether two thumbnails are one picture, turned or mirrored; one that is gone is not.

    Upright, where keys and hashes decide, two photos of one scene would be alike enough.
    """
    if one is None or other is None:
        return False
    return max(float((one * way).mean()) for way in orientations(other)[1:]) >= ALIKE


def _thumbnail(record: Record) -> Keys | None:
    """Grey, with mean 0 and deviation 1, float32 (THUMBNAIL, THUMBNAIL); None if unreadable."""
    try:
        picture = upright(Path(record.paths[0]).read_bytes(), 4 * THUMBNAIL)
    except (OSError, Unreadable):
        return None
    small = picture.convert("L").resize((THUMBNAIL, THUMBNAIL))
    grey: Keys = np.asarray(small, np.float32)
    made: Keys = (grey - grey.mean()) / max(float(grey.std()), 1e-6)
    return made
