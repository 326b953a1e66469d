"""mocosearch index: bring an index up to date with folders."""

from os.path import basename
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import IndexName, Json
from cli.display import finish, interruptible, progress, say, show_json, warn, warn_skipped

if TYPE_CHECKING:
    from pathlib import Path

    from cli.display import Bar
    from indexes.sync.counts import Counts, Progress
    from indexes.sync.update import UpdateReport
    from mocosearch.photos import ScanReport

NAMES_SHOWN = 5
"""Names of the files and folders left out."""

Photos = Annotated[
    list[str] | None,
    typer.Argument(metavar="PHOTOS...", help="Folders of photos, subfolders included, or files."),
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Name or path of the encoder [default: the index's own, default, or starter]. "
        "Another encoder gives every photo a new key.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Leave out matching names or paths; can be repeated."),
]
Retry = Annotated[
    bool,
    typer.Option("--retry", help="Read skipped files again although they have not changed."),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Decoding processes [default: one per core]."),
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Remove the photos of missing and empty folders.")
]
Remove = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Remove a folder from the index.")
]
Move = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="OLD NEW", help="Record that a folder has a new path."),
]
Kind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND", help="Kind of search index: auto (by size) or a FAISS factory string."
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Share of the nearest photos that a large index must find [0.98]."
    ),
]
Parts = Annotated[
    bool,
    typer.Option(
        "--parts",
        help="Give photos keys of regions too, from now on, for query --part.",
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for another program that is changing the index.")
]


def index(
    photos: Photos = None,
    index: IndexName = "default",
    encoder: EncoderName = None,
    exclude: Exclude = None,
    retry: Retry = False,
    workers: Workers = None,
    prune: Prune = False,
    remove: Remove = None,
    move: Move = None,
    kind: Kind = None,
    recall: Recall = None,
    parts: Parts = False,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Bring an index up to date with folders: new, changed, moved and deleted photos.

    Run it again at any time: only new and changed photos are encoded. Ctrl-C keeps every finished
    batch. The starter and published encoders have their whitening fitted on a sample of the first
    photos, of at most 4,096. --move, --remove, --kind, --recall, --encoder and --parts also work
    without PHOTOS.

    With another --encoder, the old keys keep answering until all new keys are ready, and the disk
    needs space for both. If the run is stopped or killed, the same command continues it.

    Example: mocosearch index ~/Pictures
    """
    from indexes import Index
    from indexes.sync.update import Changes, is_bound, open_encoder
    from mocosearch.home import path_of

    if not (photos or remove or move or kind or recall is not None or encoder or parts):
        raise typer.BadParameter("name the folders of photos", param_hint="PHOTOS")
    folders, patterns = photos or (), exclude or ()
    changes = Changes(folders, patterns, retry, workers, prune, move, remove, kind, recall, parts)
    folder = path_of("indexes", index)
    new = not is_bound(folder)
    chosen = open_encoder(folder, changes, encoder, notice=say)
    _warn_of_network_disk(folder)
    with (
        Index.create(
            index, chosen if new else None, wait=wait, by_default=encoder is None
        ) as opened,
        progress() as bar,
        interruptible() as stopped,
    ):
        report = opened.update(
            changes,
            chosen,
            discard_blank=new and bool(photos),
            report=lambda at: _show_progress(bar, at),
            stopped=stopped,
            notice=say,
        )
    _show(report, folder, photos or [], json)


def _show_progress(bar: "Bar", at: "Progress") -> None:
    words = f"{at.done} of {at.total}, {at.rate:.0f} photos/s, {at.skipped} skipped"
    bar("index", at.done / max(at.total, 1), words)


def _show(report: "UpdateReport", folder: "Path", photos: list[str], json: bool) -> None:
    """Print warnings and counts, and exit. Raises NoPhotos where the folders hold none."""
    from mocosearch.errors import NoPhotos

    counts = report.counts
    warn_skipped(counts.reasons)
    _show_scan(counts.scan_report)
    for absent in counts.absent:
        warn(f"{absent} is missing or empty: its photos stay in the index; --prune removes them")
    for place in counts.unmounted:
        warn(
            f"the disk of {place} is not mounted, and other files are there: its photos stay in "
            "the index; --prune removes them"
        )
    _show_encoder(report, folder)
    done = counts.embedded or counts.unchanged or counts.moved or counts.deleted
    away = len(counts.absent) + len(counts.unmounted)
    if photos and not (done or counts.skipped or counts.interrupted or away):
        raise NoPhotos(
            f"no photos that can be read below {', '.join(photos)}", "name a folder with photos"
        )
    _show_counts(counts, json)
    unreadable = len(counts.scan_report.unreadable)
    finish(counts.interrupted, counts.skipped + unreadable + away)


def _show_encoder(report: "UpdateReport", folder: "Path") -> None:
    from indexes.generation import unfinished_generations

    if report.outgrown:
        say(
            f"the whitening is fitted on {report.whitened} of {report.photos} photos: to fit it "
            "again, use --encoder with the encoder that the index was created with"
        )
    for generation in unfinished_generations(folder)[:1]:
        warn(
            "a change to another encoder is unfinished, and the old keys answer queries: "
            f"continue it with --encoder, or remove {generation}"
        )


def _show_counts(counts: "Counts", json: bool) -> None:
    say(
        f"{counts.embedded} embedded, {counts.unchanged} unchanged, {counts.moved} moved, "
        f"{counts.deleted} deleted, {counts.skipped} skipped, {counts.not_pictures} not pictures, "
        f"in {counts.seconds:.1f} s"
    )
    if json:
        show_json(facts_of(counts))


def facts_of(counts: "Counts") -> dict[str, float]:
    """The counts of a run, as JSON has them."""
    keys = ["embedded", "unchanged", "moved", "deleted", "skipped", "not_pictures", "seconds"]
    return {key: getattr(counts, key) for key in keys}


def _show_scan(scan_report: "ScanReport") -> None:
    for path in scan_report.unreadable:
        warn(f"cannot read {path}: its photos stay in the index")
    for reason, paths in (("hidden", scan_report.hidden), ("excluded", scan_report.excluded)):
        names = sorted({basename(path) for path in paths})
        if names:
            more = ", ..." if len(names) > NAMES_SHOWN else ""
            say(f"left out, {reason}: {len(paths)} ({', '.join(names[:NAMES_SHOWN])}{more})")


def _warn_of_network_disk(folder: "Path") -> None:
    from indexes.store.disks import network_disk

    if (system := network_disk(folder)) is not None:
        warn(
            f"warning: {folder} is on a network disk ({system}), where its locks are not safe; "
            "change it from one computer at a time, or keep it in the home with --index NAME"
        )
