"""Results on the terminal: a table for eyes, plain lines for pipes.

Drawn by hand: importing rich's table costs a third of the time of a whole query.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cli.display import one_line, show

if TYPE_CHECKING:
    from indexes import Match

BAR = 10
"""Characters of a full score bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_CANNOT_LINK = ("dumb", "linux")
_DIM, _BOLD, _BLUE = "2", "1", "34"


@dataclass(frozen=True)
class Line:
    """One result: a photo, how many copies of it are folded in, and how unusual its score is.

    one_in: one pair of photos of the collection in so many has such a score.
    """

    match: "Match"
    copies: int
    one_in: float


@dataclass(frozen=True)
class Screen:
    """What the output can show."""

    width: int
    colour: bool
    links: bool
    blocks: bool

    @classmethod
    def of(cls, stream: TextIO, no_color: bool) -> "Screen":
        """Of a terminal; NO_COLOR is honoured as no-color.org says."""
        term = os.environ.get("TERM", "")
        return cls(
            width=shutil.get_terminal_size().columns,
            colour=not (no_color or os.environ.get("NO_COLOR") or term == "dumb"),
            links=term not in _CANNOT_LINK,
            blocks="utf" in (stream.encoding or "").lower(),
        )

    def painted(self, text: str, code: str) -> str:
        """In a colour or weight, where the screen has them."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def linked(self, text: str, path: str) -> str:
        """Clickable, by the escape sequence OSC 8."""
        if not self.links:
            return text
        return f"\x1b]8;;{Path(os.path.abspath(path)).as_uri()}\x1b\\{text}\x1b]8;;\x1b\\"


def show_lines(lines: Sequence[Line], better: int, no_color: bool) -> None:
    """Print results; a rule parts the `better` ones from those that may be there by chance.

    Into a pipe goes rank, score and path alone, without colour.
    """
    if not sys.stdout.isatty():
        for rank, line in enumerate(lines, 1):
            path = line.match.record.paths[0]
            show(f"{rank:3}  {line.match.score:.3f}  {one_line(path)}{and_copies(line.copies)}")
        return
    screen = Screen.of(sys.stdout, no_color)
    dated = any(line.match.record.taken for line in lines)
    for rank, line in enumerate(lines, 1):
        if rank == better + 1:
            sys.stdout.write(_rule(screen) + "\n")
        sys.stdout.write(row(rank, line, screen, dated) + "\n")


def row(rank: int, line: Line, screen: Screen, dated: bool) -> str:
    """One line of the table, no wider than the screen as far as the path can give way."""
    record = line.match.record
    score = line.match.score
    date = f"{(record.taken or '')[:10]:10}  " if dated else ""
    facts = f"{odds(line.one_in):>9}  {date}"
    facts += f"{record.width}x{record.height}".rjust(9)
    copies = and_copies(line.copies)
    used = 3 + 1 + BAR + 6 + 2 + width_of(facts) + 2 + len(copies)
    path = shortened(one_line(record.paths[0]), max(screen.width - used, 16))
    return (
        screen.painted(f"{rank:3}", _DIM)
        + " "
        + screen.painted(bar(score, screen.blocks), _BLUE)
        + screen.painted(f"{score:6.3f}", _BOLD)
        + "  "
        + screen.painted(facts, _DIM)
        + "  "
        + screen.linked(path, record.paths[0])
        + screen.painted(copies, _DIM)
    )


def bar(score: float, blocks: bool = True) -> str:
    """A score of 0..1 as BAR characters; below 0 it is empty."""
    if not blocks:
        return ("#" * round(max(score, 0.0) * BAR))[:BAR].ljust(BAR)
    eighths = min(round(max(score, 0.0) * BAR * 8), BAR * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(BAR)


def odds(one_in: float) -> str:
    """How unusual, short enough for a column: `1 in 40`, `1 in 20k`."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if one_in >= 10 * size:
            return f"1 in {min(one_in / size, 999):.0f}{unit}"
    return f"1 in {one_in:.0f}"


def and_copies(count: int) -> str:
    """How many more files a line stands for; nothing for none."""
    return f"  (+{count} {'copy' if count == 1 else 'copies'})" if count else ""


def _rule(screen: Screen) -> str:
    words = " may be chance "
    dash = "─" if screen.blocks else "-"
    length = max(min(screen.width, 78) - len(words) - 4, 0)
    return screen.painted(dash * 4 + words + dash * length, _DIM)


def width_of(text: str) -> int:
    """Columns that a text takes: two for wide characters, none for combining ones."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def shortened(path: str, width: int) -> str:
    """The end of a path, which tells most, in so many columns."""
    if width_of(path) <= width:
        return path
    while path and width_of(path) > width - 1:
        path = path[1:]
    return "…" + path


def plain(rank: int, line: Line) -> dict[str, Any]:
    """A result for JSON."""
    record = line.match.record
    return {
        "rank": rank,
        "score": line.match.score,
        "path": record.paths[0],
        "id": line.match.id,
        "width": record.width,
        "height": record.height,
        "taken": record.taken,
        "one_in": line.one_in,
    }
