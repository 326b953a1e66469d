"""One search: from a question's keys to the lines that are shown."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cli.results import Line

if TYPE_CHECKING:
    from indexes import Index, Match, Where
    from indexes.segments import Keys


@dataclass(frozen=True)
class Found:
    """The lines, best first, and how many of them are no chance."""

    lines: list[Line]
    better: int


def check_filled(index: "Index") -> None:
    """Raises NoPhotos for an index without a photo."""
    from mocosearch.errors import NoPhotos

    if index.count == 0:
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
    """The `top` best lines of all keys' answers.

    least: the lowest score that counts. only_better: leave out what may be chance. fold: copies
    share a line; otherwise every file has one of its own.
    """
    from indexes.pairs import folded

    chance, tries = index.chance, len(keys)
    count = len(index.among(where)) if where else index.count
    # Copies take places, so more is asked for than is shown; seldom more than once.
    wanted = top * 2 if fold else top
    while True:
        best = merged(index.query(keys, wanted, where), wanted)
        groups = folded(index, best) if fold else [[one] for m in best for one in _files(m)]
        if len(groups) >= top or len(best) < wanted:
            break
        wanted *= 4
    groups = groups[:top]
    scores = [group[0].score for group in groups]
    better = chance.line(scores, count, tries)
    if only_better:
        groups, least = groups[:better], scores[better - 1] if better else 2.0
    if least is not None:
        groups = [group for group in groups if group[0].score >= least]
    lines = [
        Line(g[0], sum(len(m.record.paths) for m in g) - 1, chance.one_in(g[0].score, tries))
        for g in groups
    ]
    return Found(lines, better)


def _files(match: "Match") -> "list[Match]":
    """A photo once for each of its paths."""
    record = match.record
    return [replace(match, record=replace(record, paths=[path])) for path in record.paths]


def merged(answers: "list[list[Match]]", top: int) -> "list[Match]":
    """The best photos of several answers, each by its best score."""
    if len(answers) == 1:
        return answers[0]
    best: dict[int, Match] = {}
    for match in (match for answer in answers for match in answer):
        if match.id not in best or match.score > best[match.id].score:
            best[match.id] = match
    return sorted(best.values(), key=lambda m: (-m.score, m.id))[:top]
