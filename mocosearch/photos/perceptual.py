"""A hash that stays nearly the same when a picture is saved again, smaller or lighter."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE, _BITS = 32, 64


def _cosines() -> NDArray[np.float64]:
    """The rows of the DCT-II that are needed, without their lengths."""
    steps = np.arange(_SIDE)
    cosines: NDArray[np.float64] = np.cos(np.pi / _SIDE * (steps[None] + 0.5) * steps[:, None])
    return cosines


_COSINES = _cosines()
_LOWEST: NDArray[np.intp] = np.array(
    sorted(np.ndindex(_SIDE, _SIDE), key=lambda at: (sum(at), at))[1 : _BITS + 1]
).T.copy()
"""The 64 lowest frequencies but the mean, which says how light a picture is and no more."""


def perceptual_hash(image: Image.Image) -> str:
    """64 bits of an upright picture as 16 hexadecimal digits; compare by Hamming distance.

    The signs, around their median, of the lowest frequencies of the picture in grey at 32 x 32
    (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010). A
    picture of one colour has no signs: all bits are zero.
    """
    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    waves = _COSINES @ np.asarray(grey, np.float64) @ _COSINES.T
    # What rounding alone makes differ from zero is no wave.
    lowest = waves[tuple(_LOWEST)].round(3)
    # np.median imports all of numpy's masked arrays, a thirtieth of a whole query.
    median = np.sort(lowest)[_BITS // 2 - 1 : _BITS // 2 + 1].mean()
    return np.packbits(lowest > median).tobytes().hex()


def orientations(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """A square picture (side, side, ...) turned by quarters, then the same mirrored: 8 views."""
    quarters = [np.rot90(pixels, n) for n in range(4)]
    return [*quarters, *(quarter[:, ::-1] for quarter in quarters)]


def oriented_hashes(bits: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """What the hashes of turned and mirrored pictures would be, from 0 or 1 (n, 64): 7 such.

    A mirror turns the signs of the odd waves along one side, and a turn by a quarter also
    swaps the sides; the one wave whose twin is not in the hash is left at 0.
    """
    rows, columns = _LOWEST
    place = {(int(r), int(c)): at for at, (r, c) in enumerate(_LOWEST.T)}
    twin = np.array([place.get((int(c), int(r)), -1) for r, c in _LOWEST.T])
    swapped = np.where(twin >= 0, bits[:, twin], 0).astype(np.uint8)
    ways = [(base, flips) for base in (bits, swapped) for flips in ((0, 0), (0, 1), (1, 0), (1, 1))]
    return [
        base ^ ((rows * down + columns * across) % 2).astype(np.uint8)
        for base, (down, across) in ways[1:]
    ]
