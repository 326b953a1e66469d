"""What people see while they wait, and how results and errors are put into words."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from types import FrameType
from typing import Any, Protocol

import typer

SKIPPED_SHOWN = 20
PLAIN_SECONDS = 10.0


class Loudness(IntEnum):
    """How much is said on stderr beside the results."""

    QUIET = 0
    """Errors and warnings."""
    PLAIN = 1
    """Progress too, and what was done."""
    VERBOSE = 2
    """All skipped files, and where the time went."""


loudness: ContextVar[Loudness] = ContextVar("loudness", default=Loudness.PLAIN)


class Bar(Protocol):
    """A line that moves: what is going on, how much of it is done, and a few words more."""

    def __call__(self, label: str, share: float, words: str) -> None:
        """Move the line of a label to a share in 0..1."""


@contextmanager
def progress() -> Iterator[Bar]:
    """A bar with time left where stderr is a terminal; elsewhere a plain line now and then."""
    if loudness.get() == Loudness.QUIET:
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
    """The first Ctrl-C asks to stop at the next safe place; the second one stops at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("stopping after this step; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def warn(line: str) -> None:
    """What may be wrong, on stderr, with --quiet too."""
    sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def say(line: str) -> None:
    """A line for people, on stderr; not with --quiet."""
    if loudness.get() >= Loudness.PLAIN:
        warn(line)


def detail(line: str) -> None:
    """A line that only --verbose asks for."""
    if loudness.get() >= Loudness.VERBOSE:
        warn(line)


def show(line: str) -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(printable(line) + "\n")


def show_json(document: Any) -> None:
    """The result as one JSON document, in ASCII, so that any name passes."""
    sys.stdout.write(json.dumps(document) + "\n")


def show_raw(line: str, end: bytes) -> None:
    """A line with a path in it, as the file system's own bytes.

    Not on a terminal, which must not obey a name; what ends in a zero byte is never for one.
    """
    if end == b"\n" and sys.stdout.isatty():
        show(one_line(line))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(line) + end)


def printable(text: str) -> str:
    """Without what would move the cursor or cannot be encoded."""
    clean = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return clean.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """Printable, and without line breaks, which a file's name may hold."""
    return printable(text).replace("\n", "\\n")


def warn_skipped(reasons: dict[str, str]) -> None:
    """The files skipped in this run, the first few of them by name, or all with --verbose."""
    shown = len(reasons) if loudness.get() == Loudness.VERBOSE else SKIPPED_SHOWN
    for path, reason in list(reasons.items())[:shown]:
        warn(one_line(f"skipped {path}: {reason}"))
    if len(reasons) > shown:
        warn(f"skipped {len(reasons) - shown} more: --verbose names them all")


def ended(interrupted: bool, skipped: int) -> None:
    """Leave with 130 or 3 where that is how it ended."""
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
        raise typer.BadParameter(f"{text!r} is no time; write 90s, 20m or 1h30m")
    return sum(float(n) * units[u] for n, u in parts)


def size(text: str) -> int:
    """Bytes in `500M`, `8G` or `1.5T`. Raises typer.BadParameter."""
    units = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{text!r} is no size; write 500M, 8G or 1.5T") from error
