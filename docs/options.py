"""Write the option tables of the pages from the help texts of the commands.

    python -m docs.options

A table stands between `<!-- options: COMMAND -->` and `<!-- end -->`. The command's help is the
only place where the meaning of an option is worded.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cli.main import app

PAGES = Path(__file__).parent
COMMON = ("--help", "--quiet", "--verbose")
"""Options of every command, on the page `commands.md` only."""
EVERY = "every command"
"""Stands for the common options in the marker of a table."""
TABLE = re.compile(r"(?<=<!-- options: )([a-z ]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write every page whose tables have changed."""
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if (current := page(text)) != text:
            path.write_text(current, encoding="utf-8")


def page(text: str) -> str:
    """The text of a page with current tables. Raises KeyError for an unknown command."""
    known = {name: list(rows(command, common=False)) for name, command in commands().items()}
    known[EVERY] = list(rows(commands()["query"], common=True))

    def table(marker: re.Match[str]) -> str:
        lines = "".join(f"| {names} | {meaning} |\n" for names, meaning in known[marker[1]])
        return f"{marker[1]}{marker[2]}| option | meaning |\n|---|---|\n{lines}"

    return TABLE.sub(table, text)


def commands() -> dict[str, Any]:
    """Every command by its name; a command of a group by both words."""
    return dict(_leaves(typer.main.get_command(app), ""))


def _leaves(group: Any, above: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{name} ")
        else:
            yield above + name, command


def rows(command: Any, common: bool) -> Iterator[tuple[str, str]]:
    """The names and the meaning of each option of a command, ready for a table."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    for parameter in command.get_params(context):
        names = sorted(parameter.opts, key=len, reverse=True)
        record = parameter.get_help_record(context)
        if names[0].startswith("--") and record and (names[0] in COMMON) == common:
            value = "" if parameter.is_flag else f" {parameter.metavar}"
            meaning = re.sub(r"\s+", " ", record[1]).replace("|", "\\|")
            yield ", ".join(f"`{name}{value}`" for name in names), meaning


if __name__ == "__main__":
    main()
