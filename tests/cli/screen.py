"""The program in a pseudo-terminal, which may answer queries or not."""

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import forks
from program import PROGRAM, environment

LIMIT = 60.0
PROMPT = b"query> "


@dataclass(frozen=True)
class Shown:
    """What the terminal shows, and what is left for the next program to read."""

    text: str
    left: bytes


def on_a_terminal(
    home: Path,
    *words: object,
    columns: int = 90,
    pixels: tuple[int, int] = (0, 0),
    answer: bytes = b"",
    late: float = 0.0,
    typed: Sequence[str] = (),
    **changes: str,
) -> Shown:
    """Run the program there.

    pixels: size of the screen. answer: to a query for attributes, sent `late` seconds after it.
    typed: one line for each PROMPT. changes: of the environment; an empty value removes a name.
    """
    env = {**environment(home), "COLUMNS": str(columns), "TERM": "xterm-256color", **changes}
    env = {
        name: value for name, value in env.items() if value and name not in OUTSIDE - set(changes)
    }
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, *pixels))
    line = [str(PROGRAM), *map(str, words)]
    shown, due, lines = b"", None, list(typed)
    assert changes.keys() <= forks.LATE
    process = forks.start(line, env, Path.cwd(), [os.ttyname(inside)] * 3)
    stop = time.monotonic() + LIMIT
    while process.exitcode is None or select.select([terminal], [], [], 0)[0]:
        assert time.monotonic() < stop, shown
        if select.select([terminal], [], [], 0.02)[0]:
            shown += os.read(terminal, 65536)
        if answer and due is None and b"\x1b[c" in shown:
            due = time.monotonic() + late
        if lines and shown.count(PROMPT) > len(typed) - len(lines):
            os.write(terminal, lines.pop(0).encode() + b"\r")
        if due is not None and time.monotonic() >= due:
            os.write(terminal, answer)
            answer, due = b"", None
    left = _left(inside)
    os.close(inside)
    os.close(terminal)
    assert process.exitcode == 0, shown
    return Shown(shown.decode().replace("\r\n", "\n"), left)


OUTSIDE = {"TMUX", "TERM_PROGRAM", "KITTY_WINDOW_ID", "LC_TERMINAL", "COLORTERM"}
"""Variables by which the terminal of the tests describes itself."""


def _left(inside: int) -> bytes:
    mode = termios.tcgetattr(inside)
    mode[3] &= ~termios.ICANON
    termios.tcsetattr(inside, termios.TCSANOW, mode)
    return os.read(inside, 4096) if select.select([inside], [], [], 0)[0] else b""
