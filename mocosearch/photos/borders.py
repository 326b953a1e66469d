"""Where a picture lies within borders of one colour, as on a screenshot."""

import numpy as np
from numpy.typing import NDArray

from mocosearch.photos.decode import Pixels

PLAIN = 16
"""Levels of 255 that a line of one colour may span: JPEG leaves waves beside edges."""
BORDER = 0.06
"""Least share of a side that is a border; less is an edge that a scan or a frame has."""
INSIDE = 0.15
"""Least share of a side that is a picture; less is a line of text, or a cloud in the sky."""

Box = tuple[float, float, float, float]


def picture_box(pixels: Pixels) -> Box | None:
    """Left, top, width and height, as shares of the sides, of the picture within its borders.

    pixels: uint8 (h, w, 3). None where there is no border, or no picture. A border is rows of
    one colour each, then columns; between them the longest run of others is the picture, so
    that the clock and buttons of a telephone's screen are none.
    """
    top, height = _longest(_plain(pixels))
    rows = pixels[top : top + height]
    left, width = _longest(_plain(rows.swapaxes(0, 1))) if height else (0, 0)
    shares = height / pixels.shape[0], width / pixels.shape[1]
    if min(shares) < INSIDE or min(shares) > 1 - BORDER:
        return None
    return left / pixels.shape[1], top / pixels.shape[0], shares[1], shares[0]


def _plain(rows: Pixels) -> NDArray[np.bool_]:
    """Which rows have one colour."""
    spans: NDArray[np.bool_] = (np.ptp(rows, axis=1) <= PLAIN).all(axis=1)
    return spans


def _longest(plain: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length of the longest run of what is not plain."""
    edges = np.diff(np.concatenate([[True], plain, [True]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges < 0), np.flatnonzero(edges > 0)
    if not len(starts):
        return 0, 0
    best = int((ends - starts).argmax())
    return int(starts[best]), int((ends - starts)[best])
