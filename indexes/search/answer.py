"""An answer: a question's results, copies folded, those that may be chance last."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from indexes.search.filters import Where
from indexes.search.fold import Comparison, fold_copies
from indexes.search.nearest import Match, best_matches
from indexes.search.question import Question
from indexes.search.ranking import FIRST
from indexes.search.significance import Significance
from indexes.search.view import View
from mocosearch.errors import Unsuitable

WIDER = 4
"""Each search for an answer is for so many times as many photos as the one before."""


@dataclass(frozen=True)
class Region:
    """A box in a photo, in pixels of the upright photo."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True)
class Result(Match):
    """A photo of an answer, and the files that it stands for.

    others: ids and paths of further files that show the same picture. one_in: one pair of photos
    of the collection in so many has such a score, 1..1e9. missing: no file of the photo
    exists now; files that exist come first in `record.paths`.
    """

    others: Sequence[tuple[int, str]]
    one_in: float
    missing: bool
    region: Region | None = None
    """Where the query is in the photo, if it was found as a part of it."""
    agreeing: int = 0
    """How many local features agree on that place."""
    placement: tuple[float, float, float, float, float, float] | None = None
    """Where each point of the query is in the photo: see `indexes.parts.verification.Placement`."""

    @property
    def copies(self) -> int:
        """The number of further files."""
        return len(self.others)


@dataclass(frozen=True)
class Answer(Sequence[Result]):
    """The results of a search, best first: a sequence.

    significant: how many results are better than chance; these come first, unless `sorted` has
    changed the order. skipped: files of a folder in the question that gave no key, with the reason.
    parts: whether these are photos of which the query is a part.
    """

    results: Sequence[Result]
    significant: int
    skipped: Mapping[str, str]
    parts: bool = False

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, at: int) -> Result: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Result]: ...
    def __getitem__(self, at: int | slice) -> Result | Sequence[Result]:
        return self.results[at]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def sorted(self, by: str | None = None, *, reverse: bool = False) -> "Answer":
        """The same results in another order.

        by: `taken`, earliest local time first; `score`, highest first; `path`, in the order of the
        characters; None leaves the order. Equal results keep their order. reverse: the opposite
        order. Photos without a date come last either way. Raises Unsuitable for another name.
        """
        if by is None:
            return replace(self, results=tuple(self.results[:: -1 if reverse else 1]))
        if by not in ORDERS:
            raise Unsuitable(f"there is no order {by}", f"orders: {', '.join(ORDERS)}")
        order, results = ORDERS[by], list(self.results)
        last = [result for result in results if order(result) is None]
        first = [result for result in results if order(result) is not None]
        return replace(self, results=(*sorted(first, key=order, reverse=reverse), *last))


ORDERS: Mapping[str, Callable[[Result], Any]] = {
    "taken": lambda result: (result.record.taken or "")[:19] or None,
    "score": lambda result: -result.score,
    "path": lambda result: result.record.paths[0],
}
"""What `Answer.sorted` compares, by the name of the order; None where a photo does not have it."""


def answer(
    snapshot: View,
    question: Question,
    k: int,
    where: Where | None,
    min_score: float | None,
    significant_only: bool,
    fold: bool,
) -> Answer:
    """The k best results for a question: see `Index.answer`."""
    if k < 1:
        raise Unsuitable(f"cannot search for {k} photos", "k must be at least 1")
    significance, tries = snapshot.significance, len(question.keys)
    results: list[Result] = []
    significant = 0
    for group, is_significant in _groups(snapshot, question, where, min_score, fold):
        if significant_only and not is_significant:
            break
        results.append(result_of(group, significance, tries))
        significant += is_significant
        if len(results) == k:
            break
    return Answer(tuple(results), significant, question.skipped)


def _groups(
    snapshot: View,
    question: Question,
    where: Where | None,
    min_score: float | None,
    fold: bool,
) -> Iterator[tuple[list[Match], bool]]:
    """All groups of copies, best first, and whether they are better than chance; those that are
    come first. Without `fold` each group is one file.

    A search for more photos may find others (an approximate kind), and draw another line. So the
    sizes of the searches do not depend on how many groups are used: the results for one k are the
    first of those for a larger one.
    """
    before: list[Match] = []
    line, count, comparison = 0, FIRST, Comparison()
    while True:
        matches = best_matches(snapshot, question.keys, count, where, min_score, question.digests)
        seen = {match.id for match in before}
        new = [match for match in matches if match.id not in seen]
        lowest = math.inf
        if line == len(before):
            scores = sorted((match.score for match in [*before, *new]), reverse=True)
            line = _line(snapshot, scores, where, len(question.keys))
            lowest = scores[line - 1] if line else math.inf
        # Re-ranking may have put a result that may be chance above one that is not.
        new.sort(key=lambda match: match.score < lowest)
        groups: Iterable[list[Match]]
        if not fold:
            groups = ([file] for match in new for file in _files(match))
        else:
            # A copy of a photo of an earlier search is no result of its own.
            groups = fold_copies(snapshot, [*before, *new], comparison)
        for group in groups:
            if group[0].id not in seen:
                yield group, group[0].score >= lowest
        if len(matches) < count:
            return
        before += new
        count *= WIDER


def _line(snapshot: View, scores: list[float], where: Where | None, tries: int) -> int:
    """How many of the best scores, descending, are better than chance."""
    photos = len(snapshot.among(where)) if where else len(snapshot)
    return snapshot.significance.line(scores, photos, tries)


def result_of(group: list[Match], significance: Significance, tries: int) -> Result:
    """A photo and its copies, represented by the nearest of those that exist."""
    paths = {match.id: existing_first(match.record.paths) for match in group}
    existing = {id: any(map(os.path.exists, some[:1])) for id, some in paths.items()}
    nearest = max(group, key=lambda match: (existing[match.id], match.score))
    record = replace(nearest.record, paths=paths[nearest.id])
    first = [(nearest.id, path) for path in paths[nearest.id][:1]]
    files = [(id, path) for id, some in paths.items() for path in some]
    others = tuple(file for file in files if file not in first)
    one_in = significance.one_in(nearest.score, tries)
    missing = not existing[nearest.id]
    return Result(nearest.id, nearest.score, record, others, one_in, missing)


def _files(match: Match) -> list[Match]:
    """A photo once for each of its paths, those that exist first."""
    paths = existing_first(match.record.paths)
    return [replace(match, record=replace(match.record, paths=[path])) for path in paths]


def existing_first(paths: Sequence[str]) -> list[str]:
    """The paths in the same order, but those of missing files last: a folder was moved, or its disk
    is not mounted.
    """
    return sorted(paths, key=lambda path: len(paths) > 1 and not os.path.exists(path))
