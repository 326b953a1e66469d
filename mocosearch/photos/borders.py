"""Find the picture inside borders of a single colour, as in a screenshot."""

import numpy as np
from numpy.typing import NDArray

from mocosearch.photos.decode import Pixels

MAX_RANGE = 16
"""Range of values, of 255, in a line that counts as one colour: JPEG adds ripples near edges."""
MIN_BORDER = 0.06
"""Least share of a side that counts as a border; a scan or a frame has narrower edges."""
MIN_PICTURE = 0.15
"""Least share of a side that counts as a picture; less is a line of text or a cloud."""

Box = tuple[float, float, float, float]


def picture_box(pixels: Pixels) -> Box | None:
    """Left, top, width and height of the picture inside its borders, as shares of the sides.

    pixels: uint8 (h, w, 3). None if there is no border, or no picture. Rows of a single colour are
    border; the longest run of other rows is the picture, so that the clock and the buttons of a
    phone's screen are not. The same is then done with the columns.
    """
    top, height = _longest_run(_is_plain(pixels))
    rows = pixels[top : top + height]
    left, width = _longest_run(_is_plain(rows.swapaxes(0, 1))) if height else (0, 0)
    shares = height / pixels.shape[0], width / pixels.shape[1]
    if min(shares) < MIN_PICTURE or min(shares) > 1 - MIN_BORDER:
        return None
    return left / pixels.shape[1], top / pixels.shape[0], shares[1], shares[0]


def _is_plain(rows: Pixels) -> NDArray[np.bool_]:
    """Which rows have a single colour."""
    plain: NDArray[np.bool_] = (np.ptp(rows, axis=1) <= MAX_RANGE).all(axis=1)
    return plain


def _longest_run(plain: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length of the longest run of rows that are not plain."""
    edges = np.diff(np.concatenate([[True], plain, [True]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges < 0), np.flatnonzero(edges > 0)
    if not len(starts):
        return 0, 0
    best = int((ends - starts).argmax())
    return int(starts[best]), int((ends - starts)[best])
