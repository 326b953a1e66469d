"""Asking on: each answer is the ground of the next question."""

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from cli.display import warn
from cli.question import MINUS, ask, unit
from cli.results import show_lines
from cli.search import Found, search

if TYPE_CHECKING:
    from indexes import Index, Where
    from indexes.segments import Keys

_NUMBER = re.compile(r"[-+]?\d+")
HELP = """\
PATH            ask with a picture or a folder of pictures
3               ask with result 3
+3 +4 -5        more like results 3 and 4, less like 5
more            twice as many results
back            the question before
?               this help; an empty line, q or Ctrl-D ends"""


def converse(index: "Index", images: list[str], top: int, where: "Where", no_color: bool) -> None:
    """Read questions from stdin and answer them until it ends; the prompt goes to stderr."""
    _with_history()
    talk = _Talk(index, top, where, no_color)
    if images:
        talk.ask(images)
    elif sys.stdin.isatty():
        warn(HELP)
    with suppress(EOFError, KeyboardInterrupt):
        while (line := _line()) not in ("", "q", "quit", "exit"):
            talk.take(line)


class _Talk:
    """What was asked, newest last, and the answer on the screen."""

    def __init__(self, index: "Index", top: int, where: "Where", no_color: bool) -> None:
        self.index, self.top, self.where, self.no_color = index, top, where, no_color
        self.asked: list[Keys] = []
        self.found: Found | None = None

    def take(self, line: str) -> None:
        """Act on one line; what is wrong with it is said, and changes nothing."""
        from mocosearch.errors import MocosearchError

        try:
            if line == "?":
                warn(HELP)
            elif line == "more":
                self.top *= 2
                self._again()
            elif line == "back":
                self.asked = self.asked[:-1] or self.asked
                self._again()
            elif not os.path.exists(line) and (numbers := _numbers(line)):
                self._refine(numbers, fresh=line.isdigit())
            else:
                self.ask([os.path.expanduser(_unquoted(line))])
        except MocosearchError as error:
            warn(f"{error.what}\n{error.hint}")
        except typer.BadParameter as error:
            warn(error.message)

    def ask(self, images: list[str]) -> None:
        """A new question."""
        self._answer(ask(self.index.encoder, images).keys)

    def _refine(self, numbers: list[int], fresh: bool) -> None:
        """By Rocchio's rule: the question, and what is liked, less a share of what is not."""
        lines = self.found.lines if self.found else []
        if not all(1 <= abs(number) <= len(lines) for number in numbers):
            warn(f"there are results 1 to {len(lines)}" if lines else "ask with a picture first")
            return
        keys = self.index.keys([lines[abs(number) - 1].match.id for number in numbers])
        signs = [1.0 if number > 0 else -MINUS for number in numbers]
        moved = sum(sign * key[None] for sign, key in zip(signs, keys, strict=True))
        self._answer(unit(moved if fresh else self.asked[-1] + moved))

    def _again(self) -> None:
        if self.asked:
            self._answer(self.asked.pop())
        else:
            warn("ask with a picture first")

    def _answer(self, keys: "Keys") -> None:
        self.asked.append(keys)
        self.found = search(self.index, keys, self.top, self.where)
        show_lines(self.found.lines, self.found.better, self.no_color)
        sys.stdout.flush()


def _numbers(line: str) -> list[int]:
    """`3` or `+3 -5` as numbers; anything else is none."""
    words = line.split()
    return [int(word) for word in words] if all(map(_NUMBER.fullmatch, words)) else []


def _unquoted(line: str) -> str:
    """As a terminal pastes a dropped file: in quotes, or with its blanks escaped."""
    if len(line) > 1 and line[0] == line[-1] and line[0] in "'\"":
        return line[1:-1]
    return line if os.path.exists(line) else line.replace("\\ ", " ")


def _line() -> str:
    if sys.stdin.isatty() and sys.stdout.isatty():
        # Python's input, with line editing, writes its prompt to stdout; nothing else reads it.
        return input("query> ").strip()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _with_history() -> None:
    """Line editing and the arrow keys, where the platform has them."""
    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401
