"""mocosearch index: bring an index up to date with folders."""

import shutil
from os.path import basename
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display import ended, interruptible, progress, say, say_refused, show_json, warn

if TYPE_CHECKING:
    from pathlib import Path

    from indexes.sync import Progress
    from mocosearch.photos import LeftOut

SHOWN = 5
"""Names of what was left out."""


def index(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="PHOTOS...", help="Folders of photos, any depth.")
    ] = None,
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
    prune: Annotated[
        bool, typer.Option("--prune", help="Forget the photos of a missing or empty folder too.")
    ] = False,
    remove: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Take a folder out of the index.")
    ] = None,
    move: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="OLD NEW", help="Say that a folder lies elsewhere now."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Kind of search index: auto (by size) or a FAISS factory string."),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the nearest photos that a large index must find [0.98]."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another program that changes the index.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Give every photo below the folders a key, and forget those that are gone.

    Run it again at any time: only what is new or changed is encoded. Ctrl-C keeps every
    finished batch. --move, --remove, --kind and --recall also work without PHOTOS.

    Example: mocosearch index ~/Pictures
    """
    from indexes import Counts, Index, merging, sync
    from indexes import remove as take_out
    from mocosearch.encoder import Encoder
    from mocosearch.errors import NoPhotos, NotFound
    from mocosearch.home import missing, names, place
    from mocosearch.photos.scan import roots_of

    if not (photos or remove or move or kind or recall):
        raise typer.BadParameter("name the folders of photos", param_hint="PHOTOS...")
    fresh = not Index.exists(index)
    if fresh and not photos:
        raise missing("indexes", place("indexes", index))
    if fresh:
        roots_of(photos or ())
    if move:
        roots_of(move[1:])
    if encoder is None and fresh and "default" not in names("encoders"):
        others = ", ".join(names("encoders"))
        raise NotFound(
            "there is no encoder called default yet",
            f"choose with --encoder: {others}" if others else "run: mocosearch train PHOTOS",
        )
    chosen = Encoder.open(encoder or "default") if encoder or fresh else None
    _warn(place("indexes", index))
    with (
        Index.create(index, chosen, wait=wait) as opened,
        progress() as bar,
        interruptible() as stopped,
    ):

        def report(at: "Progress") -> None:
            words = f"{at.done} of {at.total}, {at.rate:.0f} photos/s, {at.refused} refused"
            bar("index", at.done / max(at.total, 1), words)

        if move:
            opened.move(*move)
        if kind or recall is not None:
            opened.reshape(kind, recall)
        removed = take_out(opened, remove) if remove else 0
        counts = Counts()
        if photos:
            counts = sync(
                opened,
                photos,
                exclude=exclude or (),
                retry=retry,
                workers=workers,
                prune=prune,
                report=report,
                stopped=stopped,
            )
        else:
            merging.merge(opened.store)
        counts.deleted += removed
        empty = opened.count == 0
    say_refused(counts.reasons)
    _say_left_out(counts.left_out)
    for folder in counts.absent:
        warn(f"{folder} is missing or empty: nothing of it was taken out; --prune does that")
    if fresh and empty:
        shutil.rmtree(place("indexes", index))
    done = counts.embedded or counts.unchanged or counts.moved or counts.deleted
    if photos and not (done or counts.interrupted):
        raise NoPhotos(
            f"no photos that can be read below {', '.join(photos)}",
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
    ended(counts.interrupted, counts.refused + len(counts.left_out.unreadable) + len(counts.absent))


def _say_left_out(left_out: "LeftOut") -> None:
    for folder in left_out.unreadable:
        warn(f"cannot look into {folder}: its photos stay as they were")
    for why, paths in (("hidden", left_out.hidden), ("excluded", left_out.excluded)):
        names = sorted({basename(path) for path in paths})
        if names:
            more = ", ..." if len(names) > SHOWN else ""
            say(f"left out, {why}: {len(paths)} ({', '.join(names[:SHOWN])}{more})")


def _warn(folder: "Path") -> None:
    from indexes.disks import network_disk

    if (system := network_disk(folder)) is not None:
        warn(
            f"warning: {folder} lies on a network disk ({system}), where its locks are not safe; "
            "change it from one computer at a time, or keep it in the home with --index NAME"
        )
