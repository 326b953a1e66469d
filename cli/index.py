"""mocosearch index: bring an index up to date with folders."""

import shutil
from os.path import basename
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display import ended, interruptible, progress, say, say_refused, show_json

if TYPE_CHECKING:
    from indexes.sync import Progress
    from mocosearch.photos import LeftOut

SHOWN = 5
"""Names of what was left out."""


def index(
    photos: Annotated[list[str], typer.Argument(help="Folders of photos, any depth.")],
    index: Annotated[str, typer.Option(help="Name or path of the index.")] = "default",
    encoder: Annotated[
        str | None,
        typer.Option(help="Name or path of the encoder [default: the index's own, or default]."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out names or paths like this; can be repeated."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Read refused files again, though unchanged.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode photos [default: one a core]."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Give every photo below the folders a key, and forget those that are gone.

    Run it again at any time: only what is new or changed is encoded. Ctrl-C keeps every
    finished batch.

    Example: mocosearch index ~/Pictures
    """
    from indexes import Index, sync
    from mocosearch.encoder import Encoder
    from mocosearch.errors import NoPhotos, NotFound
    from mocosearch.home import names, place
    from mocosearch.photos.scan import roots_of

    roots = roots_of(photos)
    fresh = not Index.exists(index)
    if encoder is None and fresh and "default" not in names("encoders"):
        others = ", ".join(names("encoders"))
        raise NotFound(
            "there is no encoder called default yet",
            f"choose with --encoder: {others}" if others else "run: mocosearch train PHOTOS",
        )
    chosen = Encoder.open(encoder or "default") if encoder or fresh else None
    with Index.create(index, chosen) as opened, progress() as bar, interruptible() as stopped:

        def report(at: "Progress") -> None:
            words = f"{at.done} of {at.total}, {at.rate:.0f} photos/s, {at.refused} refused"
            bar("index", at.done / max(at.total, 1), words)

        counts = sync(
            opened,
            roots,
            exclude=exclude or (),
            retry=retry,
            workers=workers,
            report=report,
            stopped=stopped,
        )
        empty = opened.count == 0
    say_refused(counts.reasons)
    _say_left_out(counts.left_out)
    if fresh and empty:
        shutil.rmtree(place("indexes", index))
    if not (counts.embedded or counts.unchanged or counts.moved or counts.interrupted):
        raise NoPhotos(
            f"no photos that can be read below {', '.join(roots)}",
            "name a folder with photos; nothing was taken out of the index",
        )
    say(
        f"{counts.embedded} embedded, {counts.unchanged} unchanged, {counts.moved} moved, "
        f"{counts.deleted} deleted, {counts.refused} refused, {counts.not_pictures} not pictures, "
        f"in {counts.seconds:.1f} s"
    )
    if json:
        keys = ["embedded", "unchanged", "moved", "deleted", "refused", "not_pictures", "seconds"]
        show_json({key: getattr(counts, key) for key in keys})
    ended(counts.interrupted, counts.refused + len(counts.left_out.unreadable))


def _say_left_out(left_out: "LeftOut") -> None:
    for folder in left_out.unreadable:
        say(f"cannot look into {folder}: its photos stay as they were")
    for why, paths in (("hidden", left_out.hidden), ("excluded", left_out.excluded)):
        names = sorted({basename(path) for path in paths})
        if names:
            more = ", ..." if len(names) > SHOWN else ""
            say(f"left out, {why}: {len(paths)} ({', '.join(names[:SHOWN])}{more})")
