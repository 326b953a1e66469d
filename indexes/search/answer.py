"""An answer: a question's results, copies folded, those that may be chance last."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

from indexes.search.copies import fold_copies
from indexes.search.filters import Where
from indexes.search.nearest import Match, best_matches
from indexes.search.question import Question
from indexes.search.significance import Significance
from indexes.search.snapshot import Snapshot
from mocosearch.errors import Unsuitable


@dataclass(frozen=True)
class Result(Match):
    """A photo of an answer, and the files that it stands for.

    copies: further files that show the same picture. one_in: one pair of photos of the
    collection in so many has such a score, 1..1e9.
    """

    copies: int
    one_in: float


@dataclass(frozen=True)
class Answer(Sequence[Result]):
    """The results of a search, best first: a sequence.

    significant: how many results, counted from the first, are better than chance. skipped: files
    of a folder in the question that gave no key, with the reason.
    """

    results: Sequence[Result]
    significant: int
    skipped: Mapping[str, str]

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


def answer(
    snapshot: Snapshot,
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
    groups = _groups(snapshot, question, k, where, min_score, fold)
    results = [_result(group, significance, tries) for group in groups[:k]]
    photos = len(snapshot.among(where)) if where else len(snapshot)
    scores = sorted((result.score for result in results), reverse=True)
    significant = significance.line(scores, photos, tries)
    lowest = scores[significant - 1] if significant else math.inf
    # Re-ranking may have put a result that may be chance above one that is not.
    results.sort(key=lambda result: result.score < lowest)
    shown = results[:significant] if significant_only else results
    return Answer(tuple(shown), significant, question.skipped)


def _groups(
    snapshot: Snapshot,
    question: Question,
    k: int,
    where: Where | None,
    min_score: float | None,
    fold: bool,
) -> list[list[Match]]:
    """At least k groups of copies, best first, or all there are; without `fold` each group is one
    file.
    """
    # Copies use up places. Twice as many matches as groups are seldom too few.
    count = 2 * k if fold else k
    while True:
        matches = best_matches(snapshot, question.keys, count, where, min_score, question.digests)
        if fold:
            groups = fold_copies(snapshot, matches)
        else:
            groups = [[file] for match in matches for file in _files(match)]
        if len(groups) >= k or len(matches) < count:
            return groups
        count *= 4


def _result(group: list[Match], significance: Significance, tries: int) -> Result:
    """A photo and its copies, represented by the nearest of them."""
    nearest = max(group, key=lambda match: match.score)
    copies = sum(len(match.record.paths) for match in group) - 1
    one_in = significance.one_in(nearest.score, tries)
    return Result(nearest.id, nearest.score, nearest.record, copies, one_in)


def _files(match: Match) -> list[Match]:
    """A photo once for each of its paths."""
    record = match.record
    return [replace(match, record=replace(record, paths=[path])) for path in record.paths]
