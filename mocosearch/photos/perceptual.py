"""A hash that hardly changes when a picture is recompressed, resized or brightened."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE, _BITS = 32, 64


def _cosines() -> NDArray[np.float64]:
    """The DCT-II matrix (_SIDE, _SIDE), not normalised."""
    steps = np.arange(_SIDE)
    cosines: NDArray[np.float64] = np.cos(np.pi / _SIDE * (steps[None] + 0.5) * steps[:, None])
    return cosines


_COSINES = _cosines()
_LOWEST: NDArray[np.intp] = np.array(
    sorted(np.ndindex(_SIDE, _SIDE), key=lambda at: (sum(at), at))[1 : _BITS + 1]
).T.copy()
"""The 64 lowest frequencies, (2, 64), without the mean, which is only the brightness."""


def perceptual_hash(image: Image.Image) -> str:
    """64 bits of an upright picture as 16 hexadecimal digits; compare by Hamming distance.

    A bit tells whether one of the lowest frequencies of the grey picture at 32 x 32 is above their
    median (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
    For a picture of a single colour, all bits are zero.
    """
    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    frequencies = _COSINES @ np.asarray(grey, np.float64) @ _COSINES.T
    # Rounding errors must not decide about a bit.
    lowest = frequencies[tuple(_LOWEST)].round(3)
    # np.median would import numpy's masked arrays, which takes 3% of a whole query.
    median = np.sort(lowest)[_BITS // 2 - 1 : _BITS // 2 + 1].mean()
    return np.packbits(lowest > median).tobytes().hex()


def orientations(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """The 8 orientations of a square picture (side, side, ...): rotated by 0, 90, 180 and 270
    degrees, then the same mirrored.
    """
    rotations = [np.rot90(pixels, n) for n in range(4)]
    return [*rotations, *(rotation[:, ::-1] for rotation in rotations)]


def oriented_hashes(bits: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The hashes of the 7 other orientations of pictures, predicted from their own.

    bits: 0 or 1, (n, 64); so is each of the results. Mirroring a picture inverts its odd
    frequencies along one axis; transposing it swaps the axes. The one frequency whose transpose is
    not in the hash becomes 0.
    """
    rows, columns = _LOWEST
    position = {(int(r), int(c)): at for at, (r, c) in enumerate(_LOWEST.T)}
    transpose = np.array([position.get((int(c), int(r)), -1) for r, c in _LOWEST.T])
    swapped = np.where(transpose >= 0, bits[:, transpose], 0).astype(np.uint8)
    ways = [(base, flips) for base in (bits, swapped) for flips in ((0, 0), (0, 1), (1, 0), (1, 1))]
    return [
        base ^ ((rows * down + columns * across) % 2).astype(np.uint8)
        for base, (down, across) in ways[1:]
    ]
