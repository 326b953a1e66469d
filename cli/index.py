"""mocosearch index: bring an index up to date with folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from os.path import basename
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import IndexName, Json
from cli.display import ended, interruptible, progress, say, show_json, warn, warn_skipped

if TYPE_CHECKING:
    from pathlib import Path

    from indexes import Index
    from indexes.sync.counts import Counts, Progress
    from mocosearch.encoder import Card, Encoder
    from mocosearch.photos import ScanReport

SHOWN = 5
"""Names of what was left out."""


def index(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="PHOTOS...", help="Folders of photos, any depth.")
    ] = None,
    index: IndexName = "default",
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name or path of the encoder [default: the index's own, default, or starter]; "
            "another one than the index's gives every photo a new key.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out names or paths like this; can be repeated."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Read skipped files again, though unchanged.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Processes that decode photos [default: one a core]."
        ),
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
        typer.Option(
            metavar="KIND", help="Kind of search index: auto (by size) or a FAISS factory string."
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Share of the nearest photos that a large index must find [0.98]."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another program that changes the index.")
    ] = False,
    json: Json = False,
) -> None:
    """Give every photo below the folders a key, and forget those that are gone.

    Run it again at any time: only what is new or changed is encoded. Ctrl-C keeps every
    finished batch. The starter, and a published encoder, has its whitening fitted on the first
    2,048 photos that come, from everywhere among them. --move, --remove, --kind, --recall and
    --encoder also work without PHOTOS.

    With another --encoder the old keys go on answering until all new ones are there, and the
    disk needs room for both; a run that was stopped or killed goes on when run again.

    Example: mocosearch index ~/Pictures
    """
    from indexes import Counts, Index
    from indexes.generation import unfinished
    from indexes.search.kinds import Plan, check
    from mocosearch.encoder import Encoder
    from mocosearch.errors import NoPhotos
    from mocosearch.home import not_found_error, path_of
    from mocosearch.photos.scan import roots_of

    if not (photos or remove or move or kind or recall or encoder):
        raise typer.BadParameter("name the folders of photos", param_hint="PHOTOS...")
    fresh = not Index.exists(index)
    if fresh and not photos:
        raise not_found_error("indexes", path_of("indexes", index))
    if fresh:
        roots_of(photos or ())
    if move:
        roots_of(move[1:])
    if encoder is None and fresh:
        encoder = _usual_encoder()
    chosen = Encoder.open(encoder) if encoder else None
    if fresh and chosen is not None:
        wished = Plan(kind or Plan.kind, Plan.recall if recall is None else recall)
        check(wished, chosen.dimension)
    _warn(path_of("indexes", index))
    with (
        Index.create(index, chosen if fresh else None, wait=wait) as opened,
        _gone_where_empty(opened, fresh),
        progress() as bar,
        interruptible() as stopped,
    ):

        def report(at: "Progress") -> None:
            words = f"{at.done} of {at.total}, {at.rate:.0f} photos/s, {at.skipped} skipped"
            bar("index", at.done / max(at.total, 1), words)

        if move:
            opened.move(*move)
        if kind or recall is not None:
            opened.configure(kind, recall)
        removed = opened.remove(remove) if remove else 0
        counts = renewed = Counts()
        if chosen is not None and (why := _renewed(chosen, opened)):
            say(f"{why}: every photo gets a new key; the old ones answer until then")
            counts = renewed = opened.renew(
                chosen, workers=workers, prune=prune, report=report, stopped=stopped
            )
        if photos and not renewed.interrupted:
            counts = opened.sync(
                photos,
                exclude=exclude or (),
                retry=retry,
                workers=workers,
                prune=prune,
                report=report,
                stopped=stopped,
            )
            _add(counts, renewed)
        elif not photos:
            opened.merge()
        counts.deleted += removed
        opened.refresh()
        card, count = opened.encoder.card, len(opened)
        begun = unfinished(opened.store.folder)
    warn_skipped(counts.reasons)
    _report_scan(counts.scan_report)
    for folder in counts.absent:
        warn(f"{folder} is missing or empty: nothing of it was taken out; --prune does that")
    if _outgrown(card, count):
        say(
            f"the whitening is fitted on {card.whitened} of {count} photos: with --encoder NAME, "
            "that which the index began with, it is fitted anew"
        )
    if begun:
        warn(
            "a change to another encoder is unfinished, and the keys before it answer: "
            f"go on with --encoder, or remove {begun[0]}"
        )
    done = counts.embedded or counts.unchanged or counts.moved or counts.deleted
    if photos and not (done or counts.skipped or counts.interrupted):
        raise NoPhotos(
            f"no photos that can be read below {', '.join(photos)}",
            "name a folder with photos",
        )
    say(
        f"{counts.embedded} embedded, {counts.unchanged} unchanged, {counts.moved} moved, "
        f"{counts.deleted} deleted, {counts.skipped} skipped, {counts.not_pictures} not pictures, "
        f"in {counts.seconds:.1f} s"
    )
    if json:
        keys = ["embedded", "unchanged", "moved", "deleted", "skipped", "not_pictures", "seconds"]
        show_json({key: getattr(counts, key) for key in keys})
    ended(
        counts.interrupted, counts.skipped + len(counts.scan_report.unreadable) + len(counts.absent)
    )


@contextmanager
def _gone_where_empty(opened: "Index", fresh: bool) -> Iterator[None]:
    """An index that was made just now and knows of no picture at the end, not even of a broken
    one, however that comes, would bind what is indexed there later to its encoder.
    """
    try:
        yield
    finally:
        if fresh:
            opened.refresh()
            if not (len(opened) or any(r.reason for r in opened.skipped_files())):
                opened.discard()


def _usual_encoder() -> str:
    """The one that `train` makes, or else the one that comes with the program."""
    from mocosearch.home import names

    if "default" in names("encoders"):
        return "default"
    say(
        "no encoder called default: using the starter, its whitening fitted on these photos; "
        "mocosearch train PHOTOS makes one of yours"
    )
    return "starter"


def _renewed(chosen: "Encoder", opened: "Index") -> str | None:
    """Why a second generation is due."""
    card = opened.encoder.card
    if not card.comes_from(chosen.fingerprint):
        return "another encoder"
    if _outgrown(card, len(opened)):
        return f"the whitening was fitted on {card.whitened} of these photos"
    return None


def _outgrown(card: "Card", count: int) -> bool:
    """Whether an index's whitening rests on few of its photos, or on none of them."""
    from indexes.sync.embed import FITTED_ON
    from mocosearch.encoder.card import NOTHING, OWN
    from mocosearch.encoder.refit import FEW

    if card.whitening == OWN and card.fitted_from is None:
        return False
    enough = FEW if card.whitening == NOTHING else 2
    return enough <= count and 2 * card.whitened <= min(count, FITTED_ON)


def _add(counts: "Counts", renewed: "Counts") -> None:
    """What a second generation embedded stands as unchanged in the run that came after it."""
    counts.embedded += renewed.embedded
    counts.unchanged -= min(counts.unchanged, renewed.embedded)
    counts.deleted += renewed.deleted
    counts.seconds += renewed.seconds


def _report_scan(scan_report: "ScanReport") -> None:
    for folder in scan_report.unreadable:
        warn(f"cannot look into {folder}: its photos stay as they were")
    for why, paths in (("hidden", scan_report.hidden), ("excluded", scan_report.excluded)):
        names = sorted({basename(path) for path in paths})
        if names:
            more = ", ..." if len(names) > SHOWN else ""
            say(f"left out, {why}: {len(paths)} ({', '.join(names[:SHOWN])}{more})")


def _warn(folder: "Path") -> None:
    from indexes.store.disks import network_disk

    if (system := network_disk(folder)) is not None:
        warn(
            f"warning: {folder} lies on a network disk ({system}), where its locks are not safe; "
            "change it from one computer at a time, or keep it in the home with --index NAME"
        )
