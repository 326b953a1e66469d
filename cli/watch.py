"""mocosearch watch: an index that follows its folders."""

import signal
import sys
import time
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import IndexName, Json
from cli.display import finish, say, show, show_json, stop_event, warn, warn_skipped
from cli.index import facts_of

if TYPE_CHECKING:
    from indexes.sync.counts import Counts
    from indexes.sync.watch import Change

BUSY_SECONDS = 1.0
"""Between two tries while another program is changing the index."""

Once = Annotated[
    bool, typer.Option("--once", help="Bring the index up to date once and end, as for cron.")
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB", help="Leave out matching names or paths, as in index; can be repeated."
    ),
]


def watch(
    index: IndexName = "default", once: Once = False, exclude: Exclude = None, json: Json = False
) -> None:
    """Follow the folders of an index: new, changed, moved and deleted photos.

    A burst of changes is one commit, once no file has changed for 2 seconds. Disks may be unplugged
    and come back. Folders on network disks are scanned every minute. Ctrl-C ends it; everything
    committed is kept, and the next start continues. With --json, each change is a document in a
    line of its own.

    Example: mocosearch watch --once
    """
    from indexes import Index
    from indexes.sync.watch import Change, Follower, places
    from mocosearch.home import path_of

    def load() -> tuple[list[str], list[str]]:
        with Index.open(index) as opened:
            return places(opened.snapshot)

    roots, _ = load()
    with stop_event(signal.SIGINT, signal.SIGTERM) as stop:
        if once:
            counts = _sync(index, Change(roots), exclude or [], stop)
            if counts is not None:
                _show(counts, json)
            finish(stop.is_set(), counts.skipped if counts is not None else 0)
            return
        say(f"watching {', '.join(roots)}; Ctrl-C ends this")
        first = True
        for change in Follower(load, path_of("indexes", index), stop, warn).changes():
            counts = _sync(index, change, exclude or [], stop)
            if counts is not None and (first or _has_changes(counts)):
                _show(counts, json)
            first = False
    finish(True, 0)


def _sync(index: str, change: "Change", exclude: list[str], stop: Event) -> "Counts | None":
    """Bring the index up to date; None where it was stopped before that, or a root disappeared."""
    from indexes import Index
    from mocosearch.errors import Busy, NotFound

    while not stop.is_set():
        try:
            # Closed in between, so that other programs can change the index too.
            with Index.open(index, writable=True) as opened:
                return opened.sync(
                    change.roots, exclude=[*exclude, *change.patterns()], stopped=stop.is_set
                )
        except Busy:
            stop.wait(BUSY_SECONDS)
        except NotFound as error:
            if not Index.exists(index):
                raise
            warn(error.what)
            return None
    return None


def _has_changes(counts: "Counts") -> bool:
    return bool(counts.embedded or counts.moved or counts.deleted)


def _show(counts: "Counts", json: bool) -> None:
    """One line about a change, at once."""
    warn_skipped(counts.reasons)
    for absent in (*counts.absent, *counts.unmounted):
        warn(f"{absent} is missing or empty: its photos stay in the index")
    facts = facts_of(counts)
    if json:
        show_json(facts)
    else:
        words = ", ".join(f"{facts[key]} {key}" for key in list(facts)[:5])
        show(f"{time.strftime('%H:%M:%S')}  {words}, in {counts.seconds:.1f} s")
    sys.stdout.flush()
