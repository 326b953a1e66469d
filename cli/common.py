"""Options of several commands, and --quiet and --verbose, which every command has."""

import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from cli.display import Loudness, detail, loudness

IndexName = Annotated[str, typer.Option(metavar="NAME", help="Name or path of the index.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The command with --quiet and --verbose after its own options."""

    @wraps(command)
    def wrapper(*words: Any, quiet: bool, verbose: bool, **options: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("--quiet and --verbose exclude each other")
        start = time.perf_counter()
        before = loudness.set(Loudness(Loudness.PLAIN + verbose - quiet))
        try:
            command(*words, **options)
        finally:
            detail(f"{time.perf_counter() - start:.2f} s in total")
            loudness.reset(before)

    own = inspect.signature(command)
    more = inspect.signature(_options).parameters.values()
    wrapper.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return wrapper


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
