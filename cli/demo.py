"""mocosearch demo: the whole road, from photos to a page of answers."""

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
    from indexes import Match

NAME = "demo"
"""Of its index, its encoder, and its folder in the home."""
QUERIES = 6
RESULTS = 7


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Your own folder, in place of sample pictures."),
    ] = None,
    time: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Time for training: 90s, 20m.")
    ] = "90s",
    json: Json = False,
) -> None:
    """Index and query, then train, index and query again; the answers are a page of pictures.

    Example: mocosearch demo --photos ~/Pictures --for 20m
    """
    from cli.display import duration
    from cli.index import index
    from cli.samples import draw_collection
    from mocosearch.home import home
    from mocosearch.photos.scan import roots_of

    duration(time)
    page, drawn = home() / NAME / "results.html", photos is None
    if photos is None:
        say("1/4 sample pictures")
        photos = draw_collection(home() / NAME / "photos")
    root = roots_of([photos])
    say("2/4 index with the starter, and query")
    _begin_anew()
    _tolerant(lambda: index(root, index=NAME, encoder="starter"))
    questions = _questions(root)
    first = _answered(questions, "at once, with the starter", drawn)
    _write(page, first, drawn)
    say(f"the first answers: {page}")
    say(f"3/4 train on {root[0]} for {time}")
    _tolerant(lambda: _train(root, time))
    say("4/4 index with what was learned, and query again")
    _tolerant(lambda: index(root, index=NAME, encoder=NAME))
    then = _answered(questions, f"after {time} of training on these photos", drawn)
    images = _write(page, list(chain(*zip(first, then, strict=True))), drawn)
    if json:
        show_json({"page": str(page), "queries": len(questions), "images": images})
    else:
        show(f"{page}")


def _begin_anew() -> None:
    """The photos of an earlier demo are others, and their disk may be gone."""
    from indexes.store.place import discard
    from mocosearch.home import place

    folder = place("indexes", NAME)
    if folder.is_dir():
        discard(folder)


def _train(root: list[str], time: str) -> None:
    from cli.train import train
    from mocosearch.home import place
    from mocosearch.training import checkpoint

    # Nobody resumes a demo, and an unfinished one would be in the way.
    checkpoint.clear(checkpoint.folder_of(place("encoders", NAME)), keep=False)
    train(root, name=NAME, time=time)


def _tolerant(step: Callable[[], None]) -> None:
    """Go on where a step was done but for some skipped files."""
    try:
        step()
    except typer.Exit as end:
        if end.exit_code != 3:
            raise


def _questions(root: list[str]) -> list[tuple[str, bytes]]:
    """Some of the photos: path and content."""
    from cli.gallery import SIDE
    from cli.question import read_image
    from mocosearch.errors import Unreadable
    from mocosearch.photos import scan

    files = [found.path for found in scan(root)]
    random.Random(1).shuffle(files)
    chosen: list[tuple[str, bytes]] = []
    while files and len(chosen) < QUERIES:
        path = files.pop()
        with suppress(Unreadable):
            chosen.append((path, read_image(path, SIDE)[0]))
    return chosen


def _answered(questions: list[tuple[str, bytes]], when: str, drawn: bool) -> list["Row"]:
    from cli.gallery import Row
    from indexes import Index
    from mocosearch.photos import decode

    rows = []
    with Index.open(NAME) as opened:
        for path, image in questions:
            pixels = decode(image, opened.encoder.side).pixels
            matches = opened.search(pixels[None], RESULTS + 1)
            others = [match for match in matches if path not in match.record.paths][:RESULTS]
            words = f"{when}: {_same(path, others)} of the same picture" if drawn else when
            rows.append(Row(image, Path(path).name, others, words=words))
    return rows


def _same(path: str, matches: Sequence["Match"]) -> str:
    from cli.samples import picture_of

    same = sum(picture_of(match.record.paths[0]) == picture_of(path) for match in matches)
    return f"{same} of {len(matches)}"


def _write(page: Path, rows: Sequence["Row"], drawn: bool) -> int:
    """Returns how many photos were asked."""
    from cli.gallery import write
    from cli.samples import CREDITS
    from indexes import Index

    with Index.open(NAME) as opened:
        images = len(opened)
    page.parent.mkdir(parents=True, exist_ok=True)
    write(
        page,
        rows,
        title="Where are the others like this?",
        words=f"Asked among {images} photos; the picture asked with stands left, in blue, and is "
        "left out of its answers.",
        footer=CREDITS if drawn else "",
    )
    return images
