"""Options that many commands have, and --quiet and --verbose, which every one has."""

import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from cli.display import Loudness, detail, loudness

IndexName = Annotated[str, typer.Option(metavar="NAME", help="Name or path of the index.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def common(command: Callable[..., None]) -> Callable[..., None]:
    """A command with both options behind its own."""

    @wraps(command)
    def louder(*words: Any, quiet: bool, verbose: bool, **options: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("--quiet and --verbose exclude each other")
        begun = time.perf_counter()
        before = loudness.set(Loudness(Loudness.PLAIN + verbose - quiet))
        try:
            command(*words, **options)
        finally:
            detail(f"{time.perf_counter() - begun:.2f} s altogether")
            loudness.reset(before)

    own = inspect.signature(command)
    more = inspect.signature(_options).parameters.values()
    louder.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return louder


def _options(
    *,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors and warnings.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every skipped file; say what took time.")
    ] = False,
) -> None:
    """What is added."""
