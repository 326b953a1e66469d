"""How a terminal draws pictures: from its environment, or by a query that never hangs."""

import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Protocol = Literal["kitty", "iterm", "sixel", "blocks", "none"]

ANSWER_SECONDS = 0.5
"""A terminal answers within milliseconds, over a slow line within 0.2 s."""
CELL = (8, 16)
"""Width and height of a character in pixels, if the terminal does not tell; small enough that
pictures do not overlap."""
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL = b"4"
_KITTY = ("xterm-kitty", "xterm-ghostty")
_ITERM = ("iTerm.app", "WezTerm", "mintty")


@dataclass(frozen=True)
class Cell:
    """Width and height of a character, in pixels."""

    width: int
    height: int


def picture_protocol(environment: Mapping[str, str]) -> Protocol:
    """The protocol by which the terminal of stdout draws pictures.

    Some terminals are recognised by their environment. Others are queried for their attributes
    (DA1, which every terminal since the VT100 answers; 4 means sixel). Inside tmux or screen, that
    program is the terminal, whatever is outside.
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
    """The size of a character of stdout's terminal; CELL if it does not tell."""
    with suppress(ImportError, OSError):
        import struct
        from fcntl import ioctl
        from termios import TIOCGWINSZ

        size = ioctl(sys.stdout.fileno(), TIOCGWINSZ, b"\0" * 8)
        rows, columns, width, height = struct.unpack("HHHH", size)
        if rows and columns and width >= columns and height >= rows:
            return Cell(width // columns, height // rows)
    return Cell(*CELL)


def _attributes() -> list[bytes]:
    """The primary device attributes of the terminal; none if it does not answer in time."""
    try:
        import termios
        import tty
    except ImportError:
        return []
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    source, action = sys.stdin.fileno(), termios.TCSADRAIN
    before = termios.tcgetattr(source)
    try:
        # The answer must not be echoed, and it ends without a line break.
        tty.setcbreak(source, action)
        if _readable(source, 0):
            return []  # The user types ahead; the shell reads that.
        os.write(sys.stdout.fileno(), b"\x1b[c")
        answer, deadline = b"", time.monotonic() + ANSWER_SECONDS
        while not (attributes := _ATTRIBUTES.search(answer)):
            if not _readable(source, max(deadline - time.monotonic(), 0)):
                # Half an answer must not become the shell's next line.
                action = termios.TCSAFLUSH
                return []
            answer += os.read(source, 64)
        return attributes[1].split(b";")
    except (OSError, termios.error):
        return []
    finally:
        with suppress(termios.error):
            termios.tcsetattr(source, action, before)


def _readable(source: int, seconds: float) -> bool:
    from select import select

    return bool(select([source], [], [], seconds)[0])
