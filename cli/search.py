"""One search: from a question's keys to the lines that are shown."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cli.results import Line

if TYPE_CHECKING:
    from indexes import Index, Match, Where
    from indexes.search.segments import Keys
    from indexes.search.significance import Significance


@dataclass(frozen=True)
class Found:
    """The lines, best first, and how many of them are no chance."""

    lines: list[Line]
    better: int


def check_filled(index: "Index") -> None:
    """Raises NoPhotos for an index without a photo."""
    from mocosearch.errors import NoPhotos

    if len(index) == 0:
        raise NoPhotos("the index is empty", "fill it: mocosearch index PHOTOS")


def search(
    index: "Index",
    keys: "Keys",
    top: int,
    where: "Where | None" = None,
    least: float | None = None,
    only_better: bool = False,
    fold: bool = True,
) -> Found:
    """The `top` best lines for a question of some keys; those that may be chance come last.

    least: the lowest score that counts. only_better: leave out what may be chance. fold: copies
    share a line; otherwise every file has one of its own.
    """
    from indexes.search.copies import folded

    chance, tries = index.significance, len(keys)
    count = len(index.among(where)) if where else len(index)
    # Copies take places, so more is asked for than is shown; seldom more than once.
    wanted = top * 2 if fold else top
    while True:
        best = index.search(keys, wanted, where, least)
        groups = (
            folded(index.snapshot, best) if fold else [[one] for m in best for one in _files(m)]
        )
        if len(groups) >= top or len(best) < wanted:
            break
        wanted *= 4
    lines = [_line(group, chance, tries) for group in groups[:top]]
    falling = sorted((line.match.score for line in lines), reverse=True)
    better = chance.line(falling, count, tries)
    worst = falling[better - 1] if better else math.inf
    lines.sort(key=lambda line: line.match.score < worst)
    return Found(lines[:better] if only_better else lines, better)


def _line(group: "list[Match]", chance: "Significance", tries: int) -> Line:
    """A photo and its copies, told of by the nearest of them."""
    nearest = max(group, key=lambda match: match.score)
    copies = sum(len(match.record.paths) for match in group) - 1
    return Line(nearest, copies, chance.one_in(nearest.score, tries))


def _files(match: "Match") -> "list[Match]":
    """A photo once for each of its paths."""
    record = match.record
    return [replace(match, record=replace(record, paths=[path])) for path in record.paths]
