"""mocosearch query --interactive: searches that start from the results of the last one."""

import io
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from cli.display import one_line, say, warn, warn_skipped
from cli.question import STDIN, images_of, split_weight
from cli.results import show_table
from cli.values import local_path

if TYPE_CHECKING:
    from indexes import Answer, Question, Reader, Where

_NUMBER = re.compile(r"[-+]?\d+")
HELP = """\
PATH            search with a picture or a folder of pictures
3               search with result 3
+3 +4 -5        more like results 3 and 4, less like 5
more            twice as many results
back            the search before
?               this help; an empty line, q or Ctrl-D ends"""
NO_IMAGE = "search with a picture first"


def converse(
    index: "Reader", images: Sequence[str], top: int, where: "Where", no_color: bool
) -> None:
    """Answer the lines of stdin until it ends; Ctrl-C exits with 130."""
    _enable_line_editing()
    if isinstance(sys.stdin, io.TextIOWrapper):
        # The bytes of a name may not be text in the terminal's encoding.
        sys.stdin.reconfigure(errors="surrogateescape")
    session = _Session(index, top, where, no_color)
    if images:
        session.search(images)
    elif sys.stdin.isatty():
        warn(HELP)
    with suppress(EOFError):
        while (line := _read_line()) not in ("", "q", "quit", "exit"):
            session.take(line)


class _Session:
    """The questions so far, newest last, and the answer on the screen."""

    def __init__(self, index: "Reader", top: int, where: "Where", no_color: bool) -> None:
        self.index, self.top, self.where, self.no_color = index, top, where, no_color
        self.questions: list[Question] = []
        self.answer: Answer | None = None

    def take(self, line: str) -> None:
        """Act on one line; an error is printed and changes nothing."""
        from mocosearch.errors import MocosearchError

        try:
            if line == "?":
                warn(HELP)
            elif line == "more":
                self.top *= 2
                self._repeat()
            elif line == "back":
                self.questions = self.questions[:-1] or self.questions
                self._repeat()
            elif not os.path.exists(line) and (numbers := _numbers(line)):
                self._refine(numbers, fresh=line.isdigit())
            else:
                self._search_typed(line)
        except MocosearchError as error:
            warn(f"{one_line(error.what)}\n{one_line(error.hint)}".rstrip())
        except typer.BadParameter as error:
            warn(error.message)

    def search(self, images: Sequence[str]) -> None:
        """A new question."""
        question = self.index.question(images_of(images))
        warn_skipped(question.skipped)
        self._show(question)

    def _search_typed(self, line: str) -> None:
        word = os.path.expanduser(local_path(_unquote(line)))
        if split_weight(word)[0] == STDIN:
            warn(f"{STDIN} is not a file name here: commands are read from stdin")
        else:
            self.search([word])

    def _refine(self, numbers: Sequence[int], fresh: bool) -> None:
        """Search like some results and unlike others; `fresh` forgets the question before."""
        count = len(self.answer) if self.answer else 0
        if not self.answer or not all(1 <= abs(number) <= count for number in numbers):
            warn(f"there are results 1 to {count}" if count else NO_IMAGE)
            return
        ids = [self.answer[abs(number) - 1].id for number in numbers]
        keys = self.index.keys(ids)
        if fresh:
            self._show(self.index.question(keys))
        else:
            like = [number > 0 for number in numbers]
            unlike = [number < 0 for number in numbers]
            self._show(self.questions[-1].refine(keys[like], keys[unlike]))

    def _repeat(self) -> None:
        if self.questions:
            self._show(self.questions.pop())
        else:
            warn(NO_IMAGE)

    def _show(self, question: "Question") -> None:
        self.questions.append(question)
        self.answer = self.index.answer(question, self.top, where=self.where)
        show_table(self.answer, self.no_color)
        sys.stdout.flush()
        if not self.answer:
            say("No photo matches: the filters leave none")


def _numbers(line: str) -> list[int]:
    """`3` or `+3 -5` as numbers; none for anything else."""
    words = line.split()
    return [int(word) for word in words] if all(map(_NUMBER.fullmatch, words)) else []


def _unquote(line: str) -> str:
    """The name in a line. A terminal pastes a dropped file quoted for the shell."""
    if os.path.exists(os.path.expanduser(split_weight(line)[0])):
        return line
    if os.name == "nt":
        return line.strip('"')
    with suppress(ValueError):
        words = shlex.split(line)
        return words[0] if len(words) == 1 else line
    return line


def _read_line() -> str:
    if sys.stdin.isatty() and sys.stdout.isatty():
        # `input` offers line editing, and writes its prompt to stdout, which no program reads.
        return input("query> ").strip()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _enable_line_editing() -> None:
    """Line editing and the arrow keys, if the platform has them."""
    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401
