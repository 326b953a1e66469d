"""What do 10 answers gain a look over the plain query, and is the error that it states true?

    python -m benchmarks.looks [--looks 50] [--indexes FOLDER]

Both benchmark sets, indexed by the real command with the encoder that comes with mocosearch. A
look is 5 random photos of a random class; its 10 answers are the class labels of the photos that
it asks about, one after the other. Average precision is that of the whole answer of `Index.answer`
without the 5 photos, for the mean of the 5 (the plain query) and for the look; once with the
answered photos among the results, and once without them. The stated error is that of
`Lesson.expectation`. --indexes keeps the indexes in a folder for another run.
Bars: .10 more average precision than the plain query; an error within .1 of the true one.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import (
    arguments,
    conclude,
    linked,
    mocosearch,
    needed,
    say,
    table,
    temporary_home,
    title,
)
from indexes import Index, Where
from indexes.looks.learn import Lesson
from indexes.looks.look import Look
from indexes.looks.model import SURE
from indexes.search.question import Question, unit

SETS = "caltech101_max40", "groceries"
WANTED, ANSWERS = 5, 10
SMALLEST_CLASS = 15
GAIN, ERROR = 0.10, 0.1


@dataclass(frozen=True)
class Result:
    """One look: average precision of both ways, and both errors. `free`: without the answered."""

    plain: float
    look: float
    plain_free: float
    look_free: float
    stated: float
    wrong: float
    added: int
    recall: float
    yes: int


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--looks", type=int, default=50, help="looks per set [50]")
    parser.add_argument("--indexes", type=Path, help="a folder for the indexes")
    args = parser.parse_args()
    title(__doc__)
    with temporary_home(), tempfile.TemporaryDirectory() as scratch:
        folder = args.indexes or Path(scratch)
        results = {name: looks_of(name, args.photos, folder, args.looks) for name in SETS}
    heads = ["set", "AP plain", "AP look", "without the answered", "AP look", "yes", "added"]
    heads += ["of the class", "wrong", "stated", "mean distance"]
    table(heads, [[name, *row(some)] for name, some in results.items()])
    for name, some in results.items():
        gain = mean(some, "look") - mean(some, "plain")
        conclude(GAIN, gain, what=f"{name}: average precision gained", unit="")
        far = float(np.mean([abs(r.stated - r.wrong) for r in some]))
        conclude(ERROR, far, what=f"{name}: stated error from the true one", unit="", most=True)


def mean(results: list[Result], name: str) -> float:
    return float(np.mean([getattr(result, name) for result in results]))


def row(results: list[Result]) -> list[str]:
    names = [
        "plain",
        "look",
        "plain_free",
        "look_free",
        "yes",
        "added",
        "recall",
        "wrong",
        "stated",
    ]
    far = float(np.mean([abs(r.stated - r.wrong) for r in results]))
    return [f"{mean(results, name):.3f}" for name in names] + [f"{far:.3f}"]


def looks_of(name: str, photos: Path, folder: Path, looks: int) -> list[Result]:
    """The results of some looks of a set."""
    lines = needed(photos / f"{name}.tsv").read_text().splitlines()
    files, labels = zip(*(line.split("\t") for line in lines), strict=True)
    index = folder / f"{name}-index"
    if not index.exists():
        say(f"indexing {name}")
        linked([photos / file for file in files], folder / name)
        mocosearch("index", folder / name, "--index", index)
    chance = np.random.default_rng(0)
    with Index.open(index) as opened:
        ids = opened.among(Where())
        records = [opened.record(int(id)) for id in ids]
        classes = np.array([labels[int(Path(record.paths[0]).stem)] for record in records])
        digests = np.array([record.digest for record in records])
        distinct, counts = np.unique(classes, return_counts=True)
        large = distinct[counts >= SMALLEST_CLASS]
        results = []
        for number in range(looks):
            say(f"{name}: look {number + 1} of {looks}") if number % 10 == 0 else None
            belongs = classes == chance.choice(large)
            five = chance.choice(np.flatnonzero(belongs), WANTED, replace=False)
            results.append(one_look(opened, ids, digests, belongs, five))
    return results


def one_look(index: Index, ids: Any, digests: Any, belongs: Any, five: Any) -> Result:
    """Teach one look, and measure it."""
    # Its pictures are photos of the index, so answers do in their place.
    look = Look("benchmark", {}, {digests[at]: True for at in five})
    lesson = Lesson(look, index.snapshot, index.encoder)
    truth = dict(zip(digests.tolist(), belongs.tolist(), strict=True))
    answers = {}
    for _ in range(ANSWERS):
        (doubt,) = lesson.doubts(1)
        answers[doubt.record.digest] = truth[doubt.record.digest]
        look = Look("benchmark", {}, look.answers | answers)
        lesson.learn(look)
    plain = Question(unit(index.keys(ids[five]).mean(0))[None])
    known = set(digests[five].tolist())
    orders = [ranking(index, question, known) for question in (plain, lesson.question())]
    free = [[digest for digest in order if digest not in answers] for order in orders]
    precisions = [average_precision([truth[d] for d in order]) for order in (*orders, *free)]
    expectation = lesson.expectation()
    added = added_photos(lesson)
    rest = sum(truth[digest] for digest in free[0])
    right = sum(truth[digest] for digest in added)
    wrong = 1 - right / len(added) if added else 0.0
    return Result(
        *precisions,
        expectation.wrong,
        wrong,
        expectation.adds,
        right / max(rest, 1),
        sum(answers.values()),
    )


def ranking(index: Index, question: Question, known: set[str]) -> list[str]:
    """The digests of all photos but the known ones, best first."""
    answer = index.answer(question, len(index), fold=False)
    digests = dict.fromkeys(result.record.digest for result in answer)
    return [digest for digest in digests if digest not in known]


def added_photos(lesson: Lesson) -> list[str]:
    """The digests of the photos that the look would add."""
    return [doubt.record.digest for doubt in lesson.doubts(10**6) if doubt.probability >= SURE]


def average_precision(relevant: list[bool]) -> float:
    """Of results in order, each relevant or not."""
    hits = np.flatnonzero(relevant)
    return float(((np.arange(len(hits)) + 1) / (hits + 1)).mean()) if len(hits) else 1.0


if __name__ == "__main__":
    main()
