"""The pictures of possible copies, read again as thumbnails and laid over each other."""

from pathlib import Path

import numpy as np
from PIL import Image

from indexes.store.records import Keys, Record
from mocosearch.errors import Unreadable
from mocosearch.photos.decode import decode_image
from mocosearch.photos.perceptual import orientations

SIDE = 32
"""Pixels of a thumbnail's side."""
SAME = 0.99
"""Least correlation of two copies in colour. Strongly shrunk and blurred copies have .995; two
drawings that differ by a dashed line .964, a metronome on another background .984, and one
motorcycle in red and blue .945 (Caltech-101)."""
GREY = 2.0
"""Largest standard deviation of the channels around their mean, 0..255, in a grey picture."""
SAME_TURNED = 0.9
"""Least correlation of a turned copy in grey."""


class Thumbnails:
    """Thumbnails of photos, each file read at most once: float32 (SIDE, SIDE, 3), every channel
    with mean 0; None for a file that cannot be read.
    """

    def __init__(self) -> None:
        self._read: dict[str, Keys | None] = {}

    def _of(self, record: Record) -> Keys | None:
        path = record.paths[0]
        if path not in self._read:
            self._read[path] = thumbnail(path)
        return self._read[path]

    def same(self, one: Record, other: Record) -> bool:
        """Whether two photos are one picture, in the same orientation; one may be in grey."""
        return _same(self._of(one), self._of(other))

    def turns(self, one: Record, other: Record) -> list[int]:
        """The orientations, 1 to 7 as of `orientations`, in which the other photo is the first.

        Not the same orientation: there, two photos of one scene would be similar enough.
        """
        a, b = self._of(one), self._of(other)
        if a is None or b is None:
            return []
        grey = a.mean(2)
        scores = [correlation(grey, turned) for turned in orientations(b.mean(2))]
        return [way for way in range(1, 8) if scores[way] >= SAME_TURNED]


def _same(a: Keys | None, b: Keys | None) -> bool:
    if a is None or b is None:
        return False
    if is_grey(a) or is_grey(b):
        a, b = a.mean(2), b.mean(2)
    return correlation(a, b) >= SAME


def thumbnail(path: str) -> Keys | None:
    """The thumbnail of a file; None if it cannot be read."""
    try:
        picture = decode_image(Path(path).read_bytes(), 4 * SIDE)
    except (OSError, Unreadable):
        return None
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels: Keys = np.asarray(small, np.float32)
    pixels -= pixels.mean((0, 1))
    return pixels


def is_grey(pixels: Keys) -> bool:
    """Whether a thumbnail has no colour, but for compression noise."""
    return float((pixels - pixels.mean(2, keepdims=True)).std()) < GREY


def correlation(one: Keys, other: Keys) -> float:
    """Of two thumbnails with mean 0, -1..1; 0 for a picture of one colour."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float((one * other).sum()) / lengths if lengths else 0.0
