"""Results as text: a table on a terminal, plain lines into a pipe.

Written without rich, whose table costs a third of the time of a whole query to import.
"""

import locale
import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cli.display import one_line, show

if TYPE_CHECKING:
    from indexes import Answer, Result
    from indexes.pick import Pick

BAR = 10
"""Characters of a full score bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_CANNOT_LINK = ("dumb", "linux")
_DIM, _BOLD, _BLUE = "2", "1", "34"


@dataclass(frozen=True)
class Screen:
    """What the output can show."""

    width: int
    colour: bool
    links: bool
    blocks: bool

    @classmethod
    def of(cls, stream: TextIO, no_color: bool) -> "Screen":
        """The screen of a terminal; NO_COLOR is honoured as no-color.org describes."""
        term = os.environ.get("TERM", "")
        return cls(
            width=shutil.get_terminal_size().columns,
            colour=not (no_color or os.environ.get("NO_COLOR") or term == "dumb"),
            links=term not in _CANNOT_LINK,
            blocks="utf" in (stream.encoding or "").lower() and not _is_8_bit(),
        )

    def paint(self, text: str, code: str) -> str:
        """The text in a colour or weight, if the screen has them."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def link(self, text: str, path: str) -> str:
        """The text as a link to a file, by the escape sequence OSC 8."""
        if not self.links:
            return text
        return f"\x1b]8;;{Path(os.path.abspath(path)).as_uri()}\x1b\\{text}\x1b]8;;\x1b\\"


def _is_8_bit() -> bool:
    """Whether the terminal has another encoding than UTF-8, in which `cli.main` starts Python; the
    locales `C` and `POSIX` do not say.
    """
    name = locale.getencoding().lower().replace("-", "")
    return bool(sys.flags.utf8_mode) and name not in ("utf8", "ansi_x3.41968", "usascii")


def show_table(answer: "Answer", no_color: bool, rule: bool = True) -> None:
    """Print results; a rule separates the significant ones from those that may be chance, unless
    they are in another order.

    A pipe gets rank, score and path only, without colour.
    """
    if not sys.stdout.isatty():
        for rank, result in enumerate(answer, 1):
            path = one_line(result.record.paths[0])
            show(f"{rank:3}  {result.score:.3f}  {path}{notes(result)}")
        return
    screen = Screen.of(sys.stdout, no_color)
    dates = any(result.record.taken for result in answer)
    for rank, result in enumerate(answer, 1):
        if rule and rank == answer.significant + 1:
            sys.stdout.write(_rule(screen) + "\n")
        sys.stdout.write(_row(rank, result, screen, dates) + "\n")


def _row(rank: int, result: "Result", screen: Screen, dates: bool) -> str:
    """One line of the table; the path is shortened to the width of the screen."""
    record = result.record
    date = f"{(record.taken or '')[:10]:10}  " if dates else ""
    facts = f"{odds(result.one_in):>9}  {date}"
    facts += f"{record.width}x{record.height}".rjust(9)
    copies = notes(result)
    used = 3 + 1 + BAR + 6 + 2 + width_of(facts) + 2 + len(copies)
    path = shorten(one_line(record.paths[0]), max(screen.width - used, 16))
    return (
        screen.paint(f"{rank:3}", _DIM)
        + " "
        + screen.paint(bar(result.score, screen.blocks), _BLUE)
        + screen.paint(f"{result.score:6.3f}", _BOLD)
        + "  "
        + screen.paint(facts, _DIM)
        + "  "
        + screen.link(path, record.paths[0])
        + screen.paint(copies, _DIM)
    )


def bar(score: float, blocks: bool = True) -> str:
    """A score of 0..1 as BAR characters; empty below 0."""
    if not blocks:
        return ("#" * round(max(score, 0.0) * BAR))[:BAR].ljust(BAR)
    eighths = min(round(max(score, 0.0) * BAR * 8), BAR * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(BAR)


def odds(one_in: float) -> str:
    """How unusual a score is, in at most 9 characters: `1 in 40`, `1 in 20k`."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if one_in >= 10 * size:
            return f"1 in {min(one_in / size, 999):.0f}{unit}"
    return f"1 in {one_in:.0f}"


def copies_note(count: int) -> str:
    """The number of further files of a result; empty for none."""
    return f"  (+{count} {'copy' if count == 1 else 'copies'})" if count else ""


def notes(result: "Result | Pick") -> str:
    """What follows the path of a result."""
    agreeing = getattr(result, "agreeing", 0)
    part = f"  (part: {agreeing} features agree)" if agreeing else ""
    return copies_note(result.copies) + part + ("  (missing)" if result.missing else "")


def _rule(screen: Screen) -> str:
    words = " may be chance "
    dash = "─" if screen.blocks else "-"
    length = max(min(screen.width, 78) - len(words) - 4, 0)
    return screen.paint(dash * 4 + words + dash * length, _DIM)


def width_of(text: str) -> int:
    """Columns of a text: two for wide characters, none for combining ones."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def shorten(path: str, width: int) -> str:
    """The end of a path, its most telling part, in at most `width` columns."""
    if width_of(path) <= width:
        return path
    while path and width_of(path) > width - 1:
        path = path[1:]
    return "…" + path


def plain(rank: int, result: "Result", *, parts: bool = False) -> dict[str, Any]:
    """A result for JSON. parts: with `region`, in pixels of the upright photo, and `agreeing`."""
    record = result.record
    region = asdict(result.region) if result.region else None
    part = {"region": region, "agreeing": result.agreeing} if parts else {}
    fields = {
        "rank": rank,
        "score": result.score,
        "path": record.paths[0],
        "id": result.id,
        "width": record.width,
        "height": record.height,
        "taken": record.taken,
        "one_in": result.one_in,
        "missing": result.missing,
    }
    return fields | part


def document(
    query: Sequence[str],
    index: str,
    results: Sequence[dict[str, Any]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The JSON document of a query. results: as of `plain`."""
    return {"query": list(query), "index": index, "results": results, "seconds": dict(seconds)}
