"""The cells of a map: every photo has one, and zooming in takes nothing away."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from indexes.maps.grid import CELLS, Grid

POINTS = st.integers(1, 60).flatmap(
    lambda count: arrays(np.float64, (count, 2), elements=st.sampled_from([0, 0.2, 0.21, 0.5, 1]))
)


def _grid(points: np.ndarray, first: int = 0) -> Grid:
    return Grid.of(np.arange(1, len(points) + 1, dtype=np.uint64) * 7, points, first)


def _cells(grid: Grid, level: int) -> dict[tuple[int, int], int]:
    """Photos by their cell of the whole level."""
    cells = {}
    for column in range(2**level):
        for row in range(2**level):
            for cell in grid.tile(level, column, row):
                assert 0 <= min(cell[:2]) <= max(cell[:2]) < CELLS
                cells[CELLS * column + cell.column, CELLS * row + cell.row] = cell.id
    return cells


@settings(max_examples=40, deadline=None)
@given(points=POINTS)
def test_every_photo_has_a_cell_of_its_own_on_the_last_level(points: np.ndarray) -> None:
    grid = _grid(points)
    assert len(grid) == len(points)
    cells = _cells(grid, grid.levels - 1)
    assert sorted(cells.values()) == [7 * (one + 1) for one in range(len(points))]


@settings(max_examples=40, deadline=None)
@given(points=POINTS)
def test_what_is_shown_on_a_level_is_shown_in_the_same_place_on_the_next(
    points: np.ndarray,
) -> None:
    grid = _grid(points)
    for level in range(grid.levels - 1):
        above, below = _cells(grid, level), _cells(grid, level + 1)
        assert {(column // 2, row // 2) for column, row in below} == set(above)
        places = {id: (column // 2, row // 2) for (column, row), id in below.items()}
        for place, id in above.items():
            # The first photo of the cell, by rank.
            assert places[id] == place
            assert id == min(one for one, other in places.items() if other == place)


@settings(max_examples=40, deadline=None)
@given(points=POINTS, level=st.integers(0, 3), x=st.floats(0, 1), y=st.floats(0, 1))
def test_the_photo_at_a_point_is_the_one_of_its_cell(
    points: np.ndarray, level: int, x: float, y: float
) -> None:
    grid = _grid(points)
    level = min(level, grid.levels - 1)
    side, cells = CELLS * 2**level, _cells(grid, level)
    place = min(int(x * side), side - 1), min(int(y * side), side - 1)
    assert grid.at(level, x, y) == cells.get(place)
    near = {
        id
        for (column, row), id in cells.items()
        if max(abs(column - place[0]), abs(row - place[1])) <= 2
    }
    at = grid.at(level, x, y, 2)
    assert at in near if near else at is None


def test_a_photo_lies_near_its_point() -> None:
    points = np.random.default_rng(1).uniform(0.1, 0.9, (3000, 2))
    grid = _grid(points)
    last, side = grid.levels - 1, CELLS * 2 ** (grid.levels - 1)
    cells = {id: place for place, id in _cells(grid, last).items()}
    assert len(cells) == len(points)
    places = np.array([cells[7 * (one + 1)] for one in range(len(points))])
    distances = np.abs((places + 0.5) / side - points).max(axis=1)
    assert distances.max() < 6 / side
    assert np.median(distances) < 1 / side


def test_more_photos_move_none_of_those_before_them() -> None:
    points = np.random.default_rng(2).random((250, 2))
    before, after = _grid(points[:200], 200), _grid(points, 200)
    assert before.levels == after.levels
    last = before.levels - 1
    cells = _cells(after, last)
    assert all(cells[place] == id for place, id in _cells(before, last).items())


def test_no_photos_are_an_empty_map() -> None:
    grid = Grid.of(np.zeros(0, np.uint64), np.zeros((0, 2)), 0)
    assert (len(grid), list(grid.tile(0, 0, 0)), grid.at(0, 0.5, 0.5, 3)) == (0, [], None)
