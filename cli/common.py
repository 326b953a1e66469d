"""What commands share: options, --quiet and --verbose, a check."""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.display import (
    SKIPPED_SHOWN,
    Verbosity,
    detail,
    finish,
    incomplete,
    one_line,
    verbosity,
    warn,
)

if TYPE_CHECKING:
    from indexes import Reader

IndexName = Annotated[str, typer.Option(metavar="NAME", help="Name or path of the index.")]
ReaderName = Annotated[
    str, typer.Option(metavar="NAME", help="Name or path of the index or library.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@contextmanager
def reading(name: str, *, writable: bool = False) -> Iterator["Reader"]:
    """The index or library of a name, open. The shards that did not answer are named at the end,
    and the command exits with 3. Raises what `open_reader` raises.
    """
    from indexes import open_reader

    with open_reader(name, writable=writable) as reader:
        try:
            yield reader
        finally:
            warn_unavailable(reader)


def warn_unavailable(reader: "Reader") -> None:
    """Name the parts of a collection that do not answer, and make the command exit with 3."""
    for shard, reason in list(reader.unavailable.items())[:SKIPPED_SHOWN]:
        warn(one_line(f"shard {shard} is left out: {reason}"))
    if len(reader.unavailable) > SKIPPED_SHOWN:
        warn(f"{len(reader.unavailable) - SKIPPED_SHOWN} more shards are left out")
    if reader.unavailable:
        incomplete.set(True)


def require_photos(index: "Reader") -> None:
    """Raises NoPhotos for a collection without a photo."""
    from mocosearch.errors import NoPhotos

    if len(index) == 0:
        raise NoPhotos("the index is empty", "fill it: mocosearch index PHOTOS")


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The command with --quiet and --verbose as its last options."""

    @wraps(command)
    def with_options(*words: Any, quiet: bool, verbose: bool, **options: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("--quiet and --verbose exclude each other")
        start = time.perf_counter()
        before = verbosity.set(Verbosity(Verbosity.NORMAL + verbose - quiet))
        complete = incomplete.set(False)
        try:
            command(*words, **options)
            finish(False, int(incomplete.get()))
        finally:
            incomplete.reset(complete)
            detail(f"{time.perf_counter() - start:.2f} s in total")
            verbosity.reset(before)

    own = inspect.signature(command)
    more = inspect.signature(_options).parameters.values()
    with_options.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return with_options


def _options(
    *,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only results, errors and warnings.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every skipped file and show timings.")
    ] = False,
) -> None:
    """The signature of the common options."""
