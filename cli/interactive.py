"""Asking on: each answer is the ground of the next question."""

import io
import os
import re
import shlex
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from cli.display import one_line, say, warn, warn_skipped
from cli.question import MINUS, Part, ask, unit
from cli.results import show_lines
from cli.search import Found, search

if TYPE_CHECKING:
    from indexes import Index, Where
    from indexes.search.segments import Keys

_NUMBER = re.compile(r"[-+]?\d+")
HELP = """\
PATH            ask with a picture or a folder of pictures
3               ask with result 3
+3 +4 -5        more like results 3 and 4, less like 5
more            twice as many results
back            the question before
?               this help; an empty line, q or Ctrl-D ends"""


def converse(index: "Index", images: list[str], top: int, where: "Where", no_color: bool) -> None:
    """Read questions from stdin and answer them until it ends; Ctrl-C leaves with 130."""
    _with_history()
    if isinstance(sys.stdin, io.TextIOWrapper):
        # A name need not be text in the terminal's encoding.
        sys.stdin.reconfigure(errors="surrogateescape")
    talk = _Talk(index, top, where, no_color)
    if images:
        talk.ask(images)
    elif sys.stdin.isatty():
        warn(HELP)
    with suppress(EOFError):
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
                self._ask_typed(line)
        except MocosearchError as error:
            warn(f"{one_line(error.what)}\n{one_line(error.hint)}")
        except typer.BadParameter as error:
            warn(error.message)

    def ask(self, images: list[str]) -> None:
        """A new question."""
        question = ask(self.index.encoder, images)
        warn_skipped(question.skipped)
        self._answer(question.keys)

    def _ask_typed(self, line: str) -> None:
        if "\0" in line:
            warn(f"cannot read {one_line(line)}: no name holds a zero byte")
            return
        word = os.path.expanduser(_unquoted(line))
        if Part.of(word).name == "-":
            warn("- is no name here: stdin holds the questions")
        else:
            self.ask([word])

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
        if not self.found.lines:
            say("no photo fits: the filters leave none")


def _numbers(line: str) -> list[int]:
    """`3` or `+3 -5` as numbers; anything else is none."""
    words = line.split()
    return [int(word) for word in words] if all(map(_NUMBER.fullmatch, words)) else []


def _unquoted(line: str) -> str:
    """The name that was meant, as a terminal pastes a dropped file: quoted for the shell."""
    if os.path.exists(os.path.expanduser(Part.of(line).name)):
        return line
    if os.name == "nt":
        return line.strip('"')
    with suppress(ValueError):
        words = shlex.split(line)
        return words[0] if len(words) == 1 else line
    return line


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
