"""Processes of this program that work for the server, and their errors."""

import subprocess
import sys
from typing import NoReturn

from mocosearch import processes
from mocosearch.errors import Busy, MocosearchError

BUSY = 75
"""The exit code where another program is changing the index (EX_TEMPFAIL of sysexits.h)."""


def start(module: str, *words: str) -> subprocess.Popen[str]:
    """A process that runs a module of this program. Ctrl-C does not reach it: the server
    ends it.
    """
    return subprocess.Popen(
        processes.command(module, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=processes.environment(),
        text=True,
        errors="replace",
        start_new_session=True,
    )


def fail(error: MocosearchError) -> NoReturn:
    """End this process, a child of the server, with the two lines that `error_of` reads."""
    sys.stderr.write(f"error: {error.what}\nnext: {error.hint}\n")
    sys.exit(BUSY if isinstance(error, Busy) else 1)


def error_of(text: str, code: int, otherwise: str) -> MocosearchError:
    """The error of which a process has printed the two lines, or else one in these words."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    what = lines.get("error", f"{otherwise}: exit code {code}").strip()
    kind = Busy if code == BUSY else MocosearchError
    return kind(what, lines.get("next", "").strip())
