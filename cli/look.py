"""mocosearch look: searches with names, which learn from answers."""

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import Json, ReaderName, common, reading, require_photos
from cli.display import one_line, say, show, show_json

if TYPE_CHECKING:
    from indexes import Question, Reader, Where
    from indexes.looks.learn import Expectation, Lesson
    from indexes.looks.look import Look

look = typer.Typer(
    help="Searches with names, which learn from answers.",
    epilog="Example: mocosearch look save beach a.jpg b.jpg, then mocosearch look teach beach, "
    "then mocosearch query @beach",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ANSWERS = {"y": True, "yes": True, "n": False, "no": False}

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the look.")]
Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Pictures of what to look for.")
]
Minus = Annotated[
    list[str] | None, typer.Option(metavar="IMAGE", help="An unwanted picture; repeatable.")
]
Yes = Annotated[
    list[str] | None,
    typer.Option(metavar="PHOTO", help="A photo that belongs to the look; repeatable."),
]
No = Annotated[
    list[str] | None,
    typer.Option(metavar="PHOTO", help="A photo that does not belong to it; repeatable."),
]
Count = Annotated[int, typer.Option(metavar="N", min=1, help="Questions at most.")]


@look.command("save")
@common
def save_look(name: Name, images: Images, minus: Minus = None, json: Json = False) -> None:
    """Save a look: copies of some pictures, under a name, readable by you only.

    Example: mocosearch look save beach a.jpg b.jpg --minus pool.jpg
    """
    from indexes.looks import look as looks

    saved = looks.save(name, images, minus or [])
    if json:
        show_json(_facts(saved))
    say(f"saved; next: mocosearch query @{name}, or mocosearch look teach {name}")


@look.command("teach")
@common
def teach_look(
    name: Name,
    index: ReaderName = "default",
    yes: Yes = None,
    no: No = None,
    count: Count = 10,
    json: Json = False,
) -> None:
    """Answer which photos belong to a look: it shows those that it is least certain about.

    The photos are shown in the terminal. Answer y or n, s to skip one, q to end. --yes and --no
    give answers instead, for scripts. Then it states how many photos it would add, and how many of
    them are expected to be wrong.

    Example: mocosearch look teach beach
    """
    from indexes.looks import look as looks
    from indexes.looks.learn import Lesson

    taught = looks.load(name)
    with reading(index) as opened:
        require_photos(opened)
        if yes or no:
            answers = {looks.digest_of_file(path): True for path in yes or []}
            answers |= {looks.digest_of_file(path): False for path in no or []}
            taught = taught.with_answers(answers)
        lesson = Lesson(taught, opened.snapshot, opened.encoder)
        if not (yes or no):
            taught = _ask(taught, lesson, count)
        expectation = lesson.expectation()
    if json:
        show_json(_facts(taught) | asdict(expectation))
    else:
        show(_words(expectation))


@look.command("list")
@common
def list_looks(json: Json = False) -> None:
    """List the looks with their pictures and answers.

    Example: mocosearch look list
    """
    from indexes.looks import look as looks

    all_looks = [looks.load(name) for name in looks.names()]
    if json:
        show_json({"looks": [_facts(one) for one in all_looks]})
        return
    for one in all_looks:
        facts = _facts(one)
        show(
            f"{one.name:20}  {len(facts['pictures'])} pictures, {facts['yes']} yes, "
            f"{facts['no']} no"
        )
    if not all_looks:
        say("no look yet: mocosearch look save NAME IMAGE")


@look.command("show")
@common
def show_look(name: Name, index: ReaderName = "default", json: Json = False) -> None:
    """Show the pictures and answers of a look, and what it would add to an index.

    Example: mocosearch look show beach
    """
    from indexes.looks import look as looks
    from indexes.looks.learn import Lesson
    from indexes.opening import exists

    shown = looks.load(name)
    expectation = None
    if exists(index):
        with reading(index) as opened:
            if len(opened):
                expectation = Lesson(shown, opened.snapshot, opened.encoder).expectation()
    facts = _facts(shown)
    if json:
        show_json(facts | (asdict(expectation) if expectation else {}))
        return
    for picture in facts["pictures"]:
        show(f"{'wanted' if picture['wanted'] else 'unwanted':8}  {one_line(picture['path'])}")
    show(f"answers   {facts['yes']} yes, {facts['no']} no")
    if expectation is not None:
        show(_words(expectation))


@look.command("drop")
@common
def drop_look(name: Name) -> None:
    """Remove a look, with its copies of pictures and its answers.

    Example: mocosearch look drop beach
    """
    from indexes.looks import look as looks

    looks.drop(name)


def _ask(taught: "Look", lesson: "Lesson", count: int) -> "Look":
    """Ask about photos one after the other; each answer is stored at once."""
    skipped: set[str] = set()
    asked = 0
    while asked < count:
        doubts = [d for d in lesson.doubts(len(skipped) + 1) if d.record.digest not in skipped]
        if not doubts:
            break
        record = doubts[0].record
        asked += 1
        _draw(record.paths)
        answer = _answer(f"{asked} of {count}: {one_line(record.paths[0])}")
        if answer is None:
            break
        if answer in ANSWERS:
            taught = taught.with_answers({record.digest: ANSWERS[answer]})
            lesson.learn(taught)
        else:
            skipped.add(record.digest)
    return taught


def _answer(words: str) -> str | None:
    """y, n or s; None for the end."""
    while True:
        sys.stderr.write(f"{words}\nDoes it belong? [y/n/s/q] ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip().lower()
        if not line or answer in ("q", "quit"):
            sys.stderr.write("\n" if not line else "")
            return None
        if answer in ANSWERS or answer in ("s", "skip"):
            return answer


def _draw(paths: list[str]) -> None:
    if sys.stdout.isatty():
        from cli.preview import draw
        from indexes.search.answer import existing_first

        draw(existing_first(paths)[:1])


def _facts(one: "Look") -> dict[str, Any]:
    pictures = [
        {"path": str(one.folder / file), "wanted": wanted} for file, wanted in one.pictures.items()
    ]
    yes = sum(one.answers.values())
    return {"name": one.name, "pictures": pictures, "yes": yes, "no": len(one.answers) - yes}


def _words(expectation: "Expectation") -> str:
    wrong = round(expectation.adds * expectation.wrong)
    return (
        f"{expectation.adds} further photos belong to it, of which about {wrong} "
        f"({expectation.wrong:.0%}) are expected to be wrong, judged by {expectation.examples} "
        "examples"
    )


def ask_look(
    index: "Reader", name: str, where: "Where", new: bool
) -> "tuple[Question, bytes, Where]":
    """The question of a look, its first picture, and the photos to search: without those that do
    not belong to it by an answer, and with `new` only those added since it was last asked.

    From now on, later photos are new. Raises NotFound and Damaged.
    """
    from indexes.looks import look as looks
    from indexes.looks.learn import Lesson

    asked = looks.load(name)
    lesson = Lesson(asked, index.snapshot, index.encoder)
    first_id = asked.asked_in(index.folder) if new else 0
    where = replace(where, first_id=first_id, without=lesson.unwanted())
    asked.with_asked(index.folder, lesson.next_id)
    return lesson.question(), asked.images(True)[0], where
