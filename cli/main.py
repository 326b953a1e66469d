"""The program: its commands, and the one place where errors become lines and exit codes."""

import errno
import gc
import io
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from cli.common import common
from cli.compact import compact
from cli.demo import demo
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
    "3 done but some files were refused, 130 interrupted (what was committed is kept).",
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
    code: object = 0
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is escaped, never an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _run()
    except SystemExit as end:
        code = end.code
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run() -> None:
    """Every error that a user can cause ends as two lines on stderr."""
    try:
        app()
    except MocosearchError as error:
        _fail(error)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does: no more output, and no complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(_storage(error))


def _storage(error: OSError) -> StorageFailed:
    where = f" at {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return StorageFailed(f"no room on the disk{where}", "free some room, then run it again")
    return StorageFailed(
        f"{error.strerror or error}{where}",
        "if that is the home of mocosearch, MOCOSEARCH_HOME names another",
    )


def _fail(error: MocosearchError) -> None:
    printable = f"error: {error.what}\n" + (f"next:  {error.hint}\n" if error.hint else "")
    sys.stderr.write(printable.encode("utf-8", "backslashreplace").decode())
    sys.exit(error.exit_code)
