"""Values that skip Typer's conversion are the values that Typer gives."""

import string
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.core import TyperCommand

from cli.values import PlainCommand, PlainGroup

TEXTS = st.one_of(
    st.text(string.digits + "-+_. ", min_size=1, max_size=4),
    st.integers(-3, 12).map(str),
    st.text(string.digits, min_size=18, max_size=22),
    st.text(min_size=1).filter(lambda text: not text.startswith("-")),
)


def command(
    words: Annotated[list[str] | None, typer.Argument()] = None,
    count: Annotated[int | None, typer.Option(min=1, max=9)] = None,
    any: Annotated[int, typer.Option()] = 7,
    name: Annotated[str, typer.Option()] = "default",
    share: Annotated[float | None, typer.Option()] = None,
    minus: Annotated[list[str] | None, typer.Option()] = None,
    move: Annotated[tuple[str, str] | None, typer.Option()] = None,
    flag: Annotated[bool, typer.Option("--flag")] = False,
) -> list[Any]:
    return [words, count, any, name, share, minus, move, flag]


def app(kind: type[TyperCommand]) -> Callable[..., Any]:
    program = typer.Typer(rich_markup_mode=None, add_completion=False)
    program.command(cls=kind)(command)
    return typer.main.get_command(program)


PLAIN, CHECKED = app(PlainCommand), app(TyperCommand)


def outcome(program: Callable[..., Any], words: list[str]) -> tuple[bool, Any]:
    try:
        return True, program(words, standalone_mode=False)
    except Exception as error:
        return False, (type(error), str(error))


@settings(deadline=None)
@given(
    st.lists(TEXTS, max_size=2),
    st.dictionaries(
        st.sampled_from(["--count", "--any", "--name", "--share", "--minus"]), TEXTS, max_size=3
    ),
    st.sampled_from([[], ["--flag"], ["--move", "a", "b"], ["--minus", "x", "--minus", "y"]]),
)
def test_plain_values_are_those_of_typer(
    words: list[str], options: dict[str, str], more: list[str]
) -> None:
    line = [*more, *(f"{option}={text}" for option, text in options.items()), "--", *words]
    assert outcome(PLAIN, line) == outcome(CHECKED, line)


@pytest.mark.parametrize("line", [["--count"], ["--move", "a"], ["--coutn", "3"], ["--flag=1"]])
def test_complaints_are_those_of_typer(line: list[str]) -> None:
    ok, error = outcome(PLAIN, line)
    assert not ok
    assert (ok, error) == outcome(CHECKED, line)


def test_a_group_calls_back_for_an_option_of_its_own() -> None:
    program = typer.Typer(cls=PlainGroup, add_completion=False)
    program.command(cls=PlainCommand)(command)
    calls: list[bool | None] = []

    def record(given: bool | None) -> None:
        calls.append(given)

    @program.callback()
    def options(
        version: Annotated[bool, typer.Option("--version", callback=record)] = False,
    ) -> None:
        pass

    group = typer.main.get_command(program)
    for words in (["command"], ["--version", "command"]):
        group(words, standalone_mode=False)
    assert calls == [False, True]
