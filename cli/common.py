"""What commands share: options, --quiet and --verbose, a check."""

import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.display import Verbosity, detail, verbosity

if TYPE_CHECKING:
    from indexes import Index

IndexName = Annotated[str, typer.Option(metavar="NAME", help="Name or path of the index.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def require_photos(index: "Index") -> None:
    """Raises NoPhotos for an index without a photo."""
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
        try:
            command(*words, **options)
        finally:
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
