"""The program: its commands, and the one place where errors become lines and exit codes."""

import errno
import gc
import io
import os
import sys
import warnings
from contextlib import suppress
from typing import Annotated

import typer

from cli.common import common
from cli.compact import compact
from cli.demo import demo
from cli.display import one_line
from cli.duplicates import duplicates
from cli.encoders import encoders
from cli.evaluate import evaluate
from cli.export import export
from cli.index import index
from cli.indexes import indexes
from cli.info import info
from cli.query import query
from cli.train import train
from cli.verify import verify
from mocosearch import __version__
from mocosearch.errors import MocosearchError, StorageFailed

app = typer.Typer(
    name="mocosearch",
    help="Find the photos in a private collection that look like a picture you hold.",
    epilog="Example: mocosearch index ~/Pictures, then mocosearch query photo.jpg. "
    "Nothing leaves this machine. Exit codes: 0 done, 1 it failed, 2 wrong usage, "
    "3 done but some files were skipped, 130 interrupted (what was committed is kept).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    *(train, index, query, duplicates, evaluate),
    *(info, indexes, verify, compact, export, demo),
):
    app.command()(common(command))
app.add_typer(encoders, name="encoders")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mocosearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the photos in a private collection that look like a picture you hold."""


def run() -> None:
    """Run the program, and leave at once when it is done.

    Nothing is left to tidy by then, and taking the inference libraries apart again would cost
    a query a fifth of its time.
    """
    # What is imported stays; to look through it for garbage again and again costs a query 15 ms.
    gc.set_threshold(50_000)
    # A file that Pillow cannot decode is reported as skipped; its warnings about odd ones are not
    # for users.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is escaped, never an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _open_closed_streams() -> None:
    """Give each standard stream that was closed (`>&-`) a place of its own, where no file of ours
    takes its number: nothing can be read from stdin or written to stdout, and stderr is silent.
    """
    for name, mode, flags in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _run() -> int:
    """The exit code; every error that a user can cause ends as two lines on stderr."""
    try:
        code = _ended()
        sys.stdout.flush()
    except MocosearchError as error:
        return _fail(error)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does: no more output, and no complaint.
        return 0
    except OSError as error:
        return _fail(_storage(error))
    return code


def _ended() -> int:
    """Run the app, which always ends with SystemExit."""
    try:
        app()
    except SystemExit as end:
        # Typer makes a 1 of a pipe that was closed.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _storage(error: OSError) -> StorageFailed:
    where = f" at {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return StorageFailed(f"no room on the disk{where}", "free some room, then run it again")
    if error.errno == errno.EBADF:
        return StorageFailed("stdout is closed", "leave it open, or send it to /dev/null")
    return StorageFailed(
        f"{error.strerror or error}{where}",
        "if that is the home of mocosearch, MOCOSEARCH_HOME names another",
    )


def _fail(error: MocosearchError) -> int:
    """Say what and what next, if there is a place to say it."""
    with suppress(OSError):
        sys.stderr.write(one_line(f"error: {error.what}") + "\n")
        if error.hint:
            sys.stderr.write(one_line(f"next:  {error.hint}") + "\n")
    return error.exit_code
