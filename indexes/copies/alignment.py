"""Lay one grey picture over another that shows nearly the same section of it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.float32]
Affine = NDArray[np.float64]
"""(2, 3): maps a point (x, y, 1) of the second picture to the first, with the origin in the middle
and half of the longer side as the unit."""

SIDES = 40, 80, 160, 320
"""Longer sides of the pictures in which the movement is estimated, one after the other."""
FEWEST_ROWS = 3
"""Rows or columns of the smallest picture with a slope in its inside; strips have fewer."""
STEPS = 6
"""Most steps at each size."""
STILL = 0.02
"""Pixels: a smaller step is the last one."""
SMALLEST, LARGEST = 0.1, 0.1
"""Movement of a corner in pixels below which pictures are aligned already, and as a share of half
of the longer side above which they do not show the same section."""
ENOUGH = 160
"""The size from which a very small movement is certain."""


def align(one: Grey, other: Grey) -> Affine | None:
    """The movement between two pictures (h, w) of one size; None where it is very small or large,
    or cannot be told.

    Gauss-Newton steps over an affine map, a gain and an offset, coarse to fine (Lucas and Kanade,
    "An iterative image registration technique", 1981; Baker and Matthews, "Lucas-Kanade 20 years
    on", 2004, section 4.1).
    """
    still = np.eye(2, 3)
    moved, movement = still, 0.0
    shortest, longest = sorted(one.shape)
    if shortest < FEWEST_ROWS:
        return None
    least = FEWEST_ROWS * longest / shortest
    for side in [side for side in SIDES if least <= side <= longest] or [longest]:
        a, b = _shrunk(one, side), _shrunk(other, side)
        for _ in range(STEPS):
            step = _step(a, b, moved)
            if step is None:
                return None
            moved = moved + step
            if np.abs(moved - still).max() > LARGEST:
                return None
            if np.abs(step).sum() * side / 2 < STILL:
                break
        movement = float(np.abs(moved - still).sum(1).max() * side / 2)
        if side >= ENOUGH and movement < SMALLEST:
            return None
    return moved if movement > SMALLEST else None


def _shrunk(picture: Grey, side: int) -> Grey:
    height, width = picture.shape
    share = side / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _step(a: Grey, b: Grey, moved: Affine) -> Affine | None:
    """The change of the movement that brings a nearest to b; None where that is undetermined."""
    laid = warp(a, moved)
    inside = slice(1, -1)
    down, right = np.gradient(laid)
    y, x = _points(a.shape)
    unit = max(a.shape) / 2
    columns = [right * x, right * y, right, down * x, down * y, down, laid / unit]
    slopes = np.stack([c[inside, inside].ravel() for c in columns]) * np.float32(unit)
    slopes = np.concatenate([slopes, np.ones_like(slopes[:1])])
    valid = _overlap(a.shape, moved)[inside, inside].ravel()
    slopes *= valid
    missing = ((b - laid)[inside, inside].ravel() * valid).astype(np.float32)
    try:
        step = np.linalg.solve((slopes @ slopes.T).astype(np.float64), slopes @ missing)
    except np.linalg.LinAlgError:
        return None
    return step[:6].reshape(2, 3) if np.isfinite(step).all() else None


def warp(picture: Grey, moved: Affine) -> Grey:
    """The picture as it lies over the other one; 0 where it does not reach."""
    height, width = picture.shape
    unit = max(height, width) / 2
    linear = moved[:, :2]
    # Pillow maps pixel centres, at half a pixel, from the corner.
    middle = np.array([width, height]) / 2
    offset = unit * moved[:, 2] + middle - linear @ middle
    matrix = np.column_stack([linear, offset]).ravel().tolist()
    image = Image.fromarray(picture)
    laid = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(laid)


def common_part(shape: tuple[int, ...], moved: Affine) -> tuple[slice, slice] | None:
    """Rows and columns where both pictures reach; None if they have less than SHARED in common."""
    valid = _overlap(shape, moved)
    height, width = shape
    rows = np.flatnonzero(valid[:, width // 4 : width - width // 4].all(1))
    columns = np.flatnonzero(valid[height // 4 : height - height // 4].all(0))
    if len(rows) * len(columns) < SHARED * height * width:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


SHARED = 0.85
"""Least share of the area that both pictures of one section have in common."""


def _points(shape: tuple[int, ...]) -> tuple[Grey, Grey]:
    """The rows (h, 1) and columns (1, w) of a picture's pixels, as of `Affine`."""
    height, width = shape
    unit = max(height, width) / 2
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - height / 2) / unit
    x = (np.arange(width, dtype=np.float32)[None] + 0.5 - width / 2) / unit
    return y.astype(np.float32), x.astype(np.float32)


def _overlap(shape: tuple[int, ...], moved: Affine) -> NDArray[np.bool_]:
    """Where the moved picture reaches, but for a margin of 2 pixels, bool (h, w)."""
    y, x = _points(shape)
    height, width = shape
    unit = max(height, width) / 2
    (a, b, c), (d, e, f) = moved
    column, row = a * x + b * y + c, d * x + e * y + f
    reach_x, reach_y = (width / 2 - 2) / unit, (height / 2 - 2) / unit
    reaches: NDArray[np.bool_] = (np.abs(column) <= reach_x) & (np.abs(row) <= reach_y)
    return reaches
