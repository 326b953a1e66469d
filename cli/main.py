"""The app: its commands, and the one place where errors become messages and exit codes."""

import errno
import gc
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from cli.common import common
from cli.compact import compact
from cli.demo import demo
from cli.display import one_line
from cli.duplicates import duplicates
from cli.encoder_files import export_encoder
from cli.encoders import encoders
from cli.evaluate import evaluate
from cli.export import export
from cli.index import index
from cli.indexes import indexes
from cli.info import info
from cli.library import library
from cli.look import look
from cli.pick import pick
from cli.query import query
from cli.serve import serve
from cli.train import train
from cli.values import PlainCommand, PlainGroup, local_path
from cli.verify import verify
from cli.watch import watch
from mocosearch import __version__
from mocosearch.errors import MocosearchError, StorageFailed

app = typer.Typer(
    name="mocosearch",
    cls=PlainGroup,
    help="Find the photos in a private collection that look like a picture you have.",
    epilog="Example: mocosearch index ~/Pictures, then mocosearch query photo.jpg. "
    "Nothing leaves this machine. Exit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 done but some files were skipped, 130 interrupted (everything committed is kept).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    *(train, index, watch, query, pick, duplicates, evaluate, serve),
    *(info, indexes, verify, compact, export, demo),
):
    app.command(cls=PlainCommand)(common(command))
encoders.command("export")(common(export_encoder))
app.add_typer(encoders, name="encoders")
app.add_typer(library, name="library")
app.add_typer(look, name="look")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"mocosearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the photos in a private collection that look like a picture you have."""


def run() -> None:
    """Run the program and end the process at once.

    Nothing needs tidying by then, and unloading the inference libraries would take a fifth of a
    query's time.
    """
    _use_utf8()
    sys.argv[1:] = [local_path(word) for word in sys.argv[1:]]
    # Imported modules stay in memory. Collecting garbage among them costs a query 15 ms.
    gc.set_threshold(50_000)
    # A file that Pillow cannot decode is reported as skipped; its warnings about odd ones are not
    # for users.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # Characters that the terminal's encoding lacks are escaped instead of raising an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode (PEP 540) where the locale has another encoding: then
    names are the same in every locale, in the index, in JSON and in a pipe.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.ignore_environment:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *_arguments()])


def _arguments() -> Sequence[str | bytes]:
    """The words after the program, as the system has them where it tells: some encodings, such as
    EUC-JP, do not give the same bytes back.
    """
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().split(b"\0")[1:-1]
    except OSError:
        return sys.orig_argv[1:]


def _open_closed_streams() -> None:
    """Open each standard stream that is closed (`>&-`), so that no other file takes its number.

    Then stdin is empty, writing to stdout fails, and stderr is silent.
    """
    for name, mode, flags in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _run() -> int:
    """Run the app and return the exit code; an error that a user can cause becomes two lines."""
    try:
        code = _app_code()
        sys.stdout.flush()
    except MocosearchError as error:
        return _fail(error)
    except BrokenPipeError:
        # The reader of the pipe has ended, as `head` does.
        return 0
    except OSError as error:
        return _fail(_storage(error))
    return code


def _app_code() -> int:
    """Run the app, which always ends with SystemExit, and return its exit code."""
    try:
        app()
    except SystemExit as end:
        # Typer turns a closed pipe into exit code 1.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _storage(error: OSError) -> StorageFailed:
    where = f" at {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return StorageFailed(
            f"no disk space left{where}", "free some disk space, then run it again"
        )
    if error.errno == errno.ENOENT and not error.filename:
        # `os.getcwd` names no file.
        return StorageFailed("the current folder no longer exists", "change to another folder")
    if error.errno == errno.EBADF:
        return StorageFailed("stdout is closed", "keep it open, or redirect it to /dev/null")
    return StorageFailed(
        f"{error.strerror or error}{where}",
        "if this is the home of mocosearch, set MOCOSEARCH_HOME to another folder",
    )


def _fail(error: MocosearchError) -> int:
    """Print what happened and what to do next, if stderr is open."""
    with suppress(OSError):
        sys.stderr.write(one_line(f"error: {error.what}") + "\n")
        if error.hint:
            sys.stderr.write(one_line(f"next:  {error.hint}") + "\n")
    return error.exit_code
