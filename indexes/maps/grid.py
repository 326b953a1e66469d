"""A map as a grid of cells at several levels, with at most one photo to show in each cell."""

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Ids

CELLS = 4
"""Cells along a side of a tile. Level 0 is one tile, and each level has twice as many per side."""
SPARSE = 4
"""Cells per photo on the last level, so that nearly all photos find a free cell close by."""
LAST = 14
"""The last level that a map may have."""
STEPS = 64
"""Cells along which a free one is searched for."""

Codes = NDArray[np.uint64]


class Cell(NamedTuple):
    """A cell of a tile that has a photo: its column and row in the tile, and the photo's id."""

    column: int
    row: int
    id: int


class Grid:
    """Photos in cells. On the last level each photo has a cell of its own; a cell of another level
    consists of four cells of the next one, and shows the photo with the lowest rank of them. So
    what is shown on one level is shown at the same place on all further ones.
    """

    def __init__(self, ids: Ids, codes: Codes, levels: int) -> None:
        """ids: uint64 (n,), in the order of their ranks. codes: of their cells on the last level,
        the bits of column and row by turns (Morton order).
        """
        order = np.argsort(codes, kind="stable")
        self.levels = levels
        self._codes, self._ids = codes[order], ids[order]
        self._ranks = order.astype(np.uint32)

    @classmethod
    def of(cls, ids: Ids, points: NDArray[np.float64], first: int) -> Self:
        """A grid of photos at some points, (n, 2) in 0..1, in the order of their ranks. The first
        ones get their cells before all others.
        """
        levels = 1
        while CELLS**2 * 4 ** (levels - 1) < SPARSE * len(ids) and levels < LAST:
            levels += 1
        side = CELLS << (levels - 1)
        cells = np.clip((points * side).astype(np.int64), 0, side - 1)
        used = np.zeros(side * side, bool)
        spread = [_spread(part, side, used) for part in (cells[:first], cells[first:])]
        return cls(ids, _interleave(np.concatenate(spread)), levels)

    def __len__(self) -> int:
        """Number of photos."""
        return len(self._ids)

    def tile(self, level: int, column: int, row: int) -> Iterator[Cell]:
        """The photos to show in a tile."""
        depth = CELLS.bit_length() - 1
        first = int(_interleave(np.array([[column, row]]))[0]) << (2 * depth)
        cells = np.arange(first, first + CELLS**2, dtype=np.uint64)
        starts, ends = self._ranges(cells, level)
        for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if start < end:
                best = start + int(np.argmin(self._ranks[start:end]))
                yield Cell(_even_bits(number), _even_bits(number >> 1), int(self._ids[best]))

    def at(self, level: int, x: float, y: float, reach: int = 0) -> int | None:
        """The photo that a level shows at a point, 0..1, or else within `reach` cells of it."""
        side = CELLS << level
        column, row = (min(max(int(one * side), 0), side - 1) for one in (x, y))
        around = np.arange(-reach, reach + 1)
        columns, rows = (one.ravel() for one in np.meshgrid(column + around, row + around))
        inside = (columns >= 0) & (rows >= 0) & (columns < side) & (rows < side)
        near = np.stack([columns[inside], rows[inside]], axis=1)
        order = np.argsort(((near + 0.5 - np.array([x, y]) * side) ** 2).sum(axis=1), kind="stable")
        starts, ends = self._ranges(_interleave(near[order]), level)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if start < end:
                return int(self._ids[start + int(np.argmin(self._ranks[start:end]))])
        return None

    def _ranges(self, cells: Codes, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the photos of some cells of a level start and end."""
        shift = np.uint64(2 * (self.levels - 1 - level))
        starts = np.searchsorted(self._codes, cells << shift)
        ends = np.searchsorted(self._codes, (cells + np.uint64(1)) << shift)
        return starts, ends


def _spread(cells: NDArray[np.int64], side: int, used: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The cells, (n, 2), or free ones nearby where they are used already; a photo that finds none
    keeps its cell. used: bool (side * side,), by row, changed.
    """
    result = cells.copy()
    waiting = np.arange(len(cells))
    for step in _spiral():
        wanted = cells[waiting] + step
        inside = ((wanted >= 0) & (wanted < side)).all(axis=1)
        places = np.where(inside, wanted[:, 0] + wanted[:, 1] * side, 0)
        free = inside & ~used[places]
        # The first of those that want the same place.
        candidates = np.flatnonzero(free)
        _, firsts = np.unique(places[candidates], return_index=True)
        winners = candidates[firsts]
        used[places[winners]] = True
        result[waiting[winners]] = wanted[winners]
        waiting = np.delete(waiting, winners)
        if not len(waiting):
            break
    return result


def _spiral() -> Iterator[NDArray[np.int64]]:
    """Steps to the cells around one, the nearest first, itself included."""
    around = np.arange(-STEPS, STEPS + 1)
    steps = np.stack([one.ravel() for one in np.meshgrid(around, around)], axis=1)
    distances = (steps**2).sum(axis=1)
    order = np.argsort(distances, kind="stable")
    yield from steps[order[distances[order] <= STEPS**2]]


def _interleave(cells: NDArray[np.int64]) -> Codes:
    """The bits of columns and rows, (n, 2), by turns; the column has the lowest bit."""
    codes = np.zeros(len(cells), np.uint64)
    for axis in (0, 1):
        bits = cells[:, axis].astype(np.uint64)
        for shift, mask in _MASKS:
            bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
        codes |= bits << np.uint64(axis)
    return codes


_MASKS = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def _even_bits(code: int) -> int:
    """The bits 0, 2, 4, ... of a number, as a number."""
    return sum(((code >> (2 * bit)) & 1) << bit for bit in range(16))
