"""Output: results on stdout; progress, notes and warnings on stderr."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from types import FrameType
from typing import Any, Protocol

import typer

SKIPPED_SHOWN = 20
"""Skipped files that are listed by name."""
PLAIN_SECONDS = 10.0
"""Time between two lines of progress where there is no bar."""


class Verbosity(IntEnum):
    """How much is printed on stderr besides the results."""

    QUIET = 0
    """Errors and warnings."""
    NORMAL = 1
    """Progress and notes too."""
    VERBOSE = 2
    """The name of every skipped file, and timings."""


verbosity: ContextVar[Verbosity] = ContextVar("verbosity", default=Verbosity.NORMAL)


incomplete: ContextVar[bool] = ContextVar("incomplete", default=False)
"""Whether a part of the collection did not answer; then the command exits with 3."""


class Bar(Protocol):
    """Progress of several tasks, one line each."""

    def __call__(self, label: str, share: float, words: str) -> None:
        """Move the line of a label to a share in 0..1, and show some words beside it."""


@contextmanager
def progress() -> Iterator[Bar]:
    """A bar with the time left if stderr is a terminal, else a line every PLAIN_SECONDS."""
    if verbosity.get() == Verbosity.QUIET:
        yield lambda label, share, words: None
        return
    if not sys.stderr.isatty():
        yield _PlainBar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[str, Any] = {}

        def move(label: str, share: float, words: str) -> None:
            if label not in tasks:
                tasks[label] = shown.add_task(label, total=1.0, words=words)
            shown.update(tasks[label], completed=share, words=words)

        yield move


class _PlainBar:
    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, label: str, share: float, words: str) -> None:
        now = time.monotonic()
        if now - self.last >= PLAIN_SECONDS:
            self.last = now
            say(f"{label} {share:.0%} {words}".rstrip())


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """A function that tells whether to stop: true after the first Ctrl-C. The second one raises
    KeyboardInterrupt.
    """
    notice = "stopping after this step; Ctrl-C again stops at once"
    with stop_event(signal.SIGINT, notice=notice) as stop:
        yield stop.is_set


@contextmanager
def stop_event(*signals: signal.Signals, notice: str = "") -> Iterator[threading.Event]:
    """An event that the first of some signals sets; a second Ctrl-C raises KeyboardInterrupt.

    notice: a line for the first one.
    """
    stop = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if notice:
            say(notice)

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def warn(line: str) -> None:
    """A warning on stderr, printed with --quiet too."""
    sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def say(line: str) -> None:
    """A note on stderr; not with --quiet."""
    if verbosity.get() >= Verbosity.NORMAL:
        warn(line)


def detail(line: str) -> None:
    """A note on stderr, with --verbose only."""
    if verbosity.get() >= Verbosity.VERBOSE:
        warn(line)


def show(line: str) -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(printable(line) + "\n")


def show_json(document: Any) -> None:
    """The result as one JSON document, in ASCII, which can express any file name."""
    sys.stdout.write(json.dumps(document) + "\n")


def show_raw(line: str, end: bytes) -> None:
    """A line that contains a path, as the bytes of the file system.

    On a terminal control characters are escaped, so that a name cannot control it. Lines that end
    in a zero byte are for programs only.
    """
    if end == b"\n" and sys.stdout.isatty():
        show(one_line(line))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(line) + end)


def printable(text: str) -> str:
    """The text with control characters escaped, and what UTF-8 cannot encode."""
    clean = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return clean.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """Printable text with line breaks escaped too; a file's name may contain them."""
    return printable(text).replace("\n", "\\n")


def warn_skipped(reasons: Mapping[str, str]) -> None:
    """List skipped files with their reasons: SKIPPED_SHOWN of them, or all with --verbose."""
    shown = len(reasons) if verbosity.get() == Verbosity.VERBOSE else SKIPPED_SHOWN
    for path, reason in list(reasons.items())[:shown]:
        warn(one_line(f"skipped {path}: {reason}"))
    if len(reasons) > shown:
        warn(f"skipped {len(reasons) - shown} more; --verbose lists all")


def finish(interrupted: bool, skipped: int) -> None:
    """Exit with 130 after an interrupt, with 3 if files were skipped; else return."""
    if interrupted:
        raise typer.Exit(130)
    if skipped:
        raise typer.Exit(3)


def duration(text: str) -> float:
    """Seconds in `90s`, `20m`, `1.5h` or `1h30m`. Raises typer.BadParameter."""
    import re

    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.strip().lower())
    if not parts or "".join(n + u for n, u in parts) != text.strip().lower():
        raise typer.BadParameter(f"{text!r} is not a duration; write 90s, 20m or 1h30m")
    return sum(float(n) * units[u] for n, u in parts)


def size(text: str) -> int:
    """Bytes in `500M`, `8G` or `1.5T`. Raises typer.BadParameter."""
    units = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{text!r} is not a size; write 500M, 8G or 1.5T") from error
