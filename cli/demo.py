"""mocosearch demo: from photos to a page of answers."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import Json
from cli.display import say, show, show_json

if TYPE_CHECKING:
    from cli.gallery import Row
    from cli.samples import Question
    from indexes import Match

NAME = "demo"
"""Of its index, its encoder, and its folder in the home."""
QUESTIONS = 6
"""Photos of a folder of one's own that are searched for."""
RESULTS = 7


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Your own folder instead of the sample pictures."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="Also train for this time (90s, 20m), and query again with the new encoder.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Index sample pictures, query them with altered ones, and write a page of the answers.

    Example: mocosearch demo --photos ~/Pictures
    """
    from cli.display import duration
    from cli.index import index
    from cli.samples import draw_collection, draw_questions
    from mocosearch.home import home
    from mocosearch.photos.scan import roots_of

    if time is not None:
        duration(time)
    folder, drawn = home() / NAME, photos is None
    root = roots_of([draw_collection(folder / "photos") if photos is None else photos])
    _discard_index()
    _tolerant(lambda: index(root, index=NAME, encoder="starter"))
    questions = draw_questions(folder / "questions") if drawn else _questions(root)
    rows = _answers(questions, "with the starter", drawn)
    page = folder / "results.html"
    images = _write(page, rows, drawn)
    if time is not None:
        say(f"answers of the starter: {page}")
        _tolerant(lambda: _train(root, time))
        _tolerant(lambda: index(root, index=NAME, encoder=NAME))
        trained = _answers(questions, f"after {time} of training", drawn)
        _write(page, list(chain(*zip(rows, trained, strict=True))), drawn)
    if json:
        show_json({"page": str(page), "queries": len(questions), "images": images})
    else:
        show(f"{page}")


def _discard_index() -> None:
    """An earlier demo indexed other photos, whose disk may be gone."""
    from indexes.store.place import discard
    from mocosearch.home import path_of

    folder = path_of("indexes", NAME)
    if folder.is_dir():
        discard(folder)


def _train(root: list[str], time: str) -> None:
    from cli.train import train
    from mocosearch.home import path_of
    from mocosearch.training import checkpoint

    # Nobody resumes a demo, and an unfinished run would be in the way.
    checkpoint.clear(checkpoint.folder_of(path_of("encoders", NAME)), keep=False)
    train(root, name=NAME, time=time)


def _tolerant(step: Callable[[], None]) -> None:
    """Run a step, and continue if it only skipped some files."""
    try:
        step()
    except typer.Exit as end:
        if end.exit_code != 3:
            raise


def _questions(root: list[str]) -> "list[Question]":
    """Some readable photos of a folder, chosen at random."""
    from cli.gallery import SIDE
    from cli.samples import Question
    from mocosearch.errors import Unreadable
    from mocosearch.photos import decode, scan
    from mocosearch.photos.decode import read

    files = [file.path for file in scan(root)]
    random.Random(1).shuffle(files)
    chosen: list[Question] = []
    while files and len(chosen) < QUESTIONS:
        path = files.pop()
        with suppress(Unreadable):
            decode(read(path) or b"", SIDE)
            chosen.append(Question(Path(path), ""))
    return chosen


def _answers(questions: "Sequence[Question]", encoder: str, drawn: bool) -> list["Row"]:
    """A row of the page for each question; a photo is left out of its own answers."""
    from cli.gallery import Row
    from indexes import Index

    rows = []
    right = 0
    with Index.open(NAME) as opened:
        for path, words in questions:
            matches = opened.search([path], RESULTS + 1)
            others = [m for m in matches if str(path) not in m.record.paths][:RESULTS]
            title = f"{words}, {encoder}" if words else encoder
            if drawn:
                same = _same(path, others)
                right += same
                title += f": {same} of {len(others)} show the same picture"
            title = title[0].upper() + title[1:]
            rows.append(Row(path.read_bytes(), path.name, others, words=title))
    if drawn:
        say(f"{encoder}: {right} of {RESULTS * len(rows)} answers show the same picture")
    return rows


def _same(path: Path, matches: Sequence["Match"]) -> int:
    from cli.samples import picture_of

    return sum(picture_of(match.record.paths[0]) == picture_of(path) for match in matches)


def _write(page: Path, rows: Sequence["Row"], drawn: bool) -> int:
    """Write the page; returns the number of indexed photos."""
    from cli.gallery import write
    from cli.samples import CREDITS
    from indexes import Index

    with Index.open(NAME) as opened:
        images = len(opened)
    page.parent.mkdir(parents=True, exist_ok=True)
    left_out = "" if drawn else ", and is left out of its answers"
    write(
        page,
        rows,
        title="Where are the others like this?",
        words=f"Answers from {images} photos, nearest first. The picture with the blue border is "
        f"the query{left_out}.",
        footer=CREDITS if drawn else "",
    )
    return images
