"""What a terminal can draw: told by its environment, or asked of it in a way that never hangs."""

import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Pictures = Literal["kitty", "iterm", "sixel", "blocks", "none"]

ANSWER_SECONDS = 0.5
"""A terminal answers within milliseconds, over a slow line within a tenth of a second or two."""
CELL = (8, 16)
"""Pixels of a character where the terminal does not say: rather too small than overlapping."""
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL = b"4"
_KITTY = ("xterm-kitty", "xterm-ghostty")
_ITERM = ("iTerm.app", "WezTerm", "mintty")


@dataclass(frozen=True)
class Cell:
    """Width and height of a character, in pixels."""

    width: int
    height: int


def pictures(environment: Mapping[str, str]) -> Pictures:
    """How the terminal of stdout draws pictures.

    What says its name is believed; any other is asked for its attributes (DA1, which every
    terminal since the VT100 answers; a 4 among them means sixel). Inside tmux or screen, those
    are the terminal, whatever is outside.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if term == "dumb":
        return "none"
    inside = "TMUX" in environment or term.startswith(("screen", "tmux"))
    if not inside:
        if term in _KITTY or "KITTY_WINDOW_ID" in environment or program == "ghostty":
            return "kitty"
        if program in _ITERM or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm"
    return "sixel" if _SIXEL in _attributes() else "blocks"


def cell_size() -> Cell:
    """Of stdout's terminal; CELL where it does not say."""
    with suppress(ImportError, OSError):
        import struct
        from fcntl import ioctl
        from termios import TIOCGWINSZ

        told = ioctl(sys.stdout.fileno(), TIOCGWINSZ, b"\0" * 8)
        rows, columns, width, height = struct.unpack("HHHH", told)
        if rows and columns and width >= columns and height >= rows:
            return Cell(width // columns, height // rows)
    return Cell(*CELL)


def _attributes() -> list[bytes]:
    """The primary device attributes of the terminal; none where there is no answer in time."""
    try:
        import termios
        import tty
    except ImportError:
        return []
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    source, way = sys.stdin.fileno(), termios.TCSADRAIN
    before = termios.tcgetattr(source)
    try:
        # Neither echoed nor held back until a line ends.
        tty.setcbreak(source, way)
        if _readable(source, 0):
            return []  # Somebody types ahead: that is for the shell.
        os.write(sys.stdout.fileno(), b"\x1b[c")
        answer, deadline = b"", time.monotonic() + ANSWER_SECONDS
        while not (found := _ATTRIBUTES.search(answer)):
            if not _readable(source, max(deadline - time.monotonic(), 0)):
                # Half an answer must not become the shell's next line.
                way = termios.TCSAFLUSH
                return []
            answer += os.read(source, 64)
        return found[1].split(b";")
    except (OSError, termios.error):
        return []
    finally:
        with suppress(termios.error):
            termios.tcsetattr(source, way, before)


def _readable(source: int, seconds: float) -> bool:
    from select import select

    return bool(select([source], [], [], seconds)[0])
