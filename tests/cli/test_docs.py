"""The documents are true: every command and option stands on its page."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from program import Run

from cli.main import app
from mocosearch import __version__

ROOT = Path(__file__).parents[2]
COMMON = ("--quiet", "--verbose")
"""Documented once for all commands."""


def leaves(group: Any, above: str = "") -> list[tuple[str, Any]]:
    """Every command, a group's by both words."""
    found = []
    for name, command in group.commands.items():
        nested = hasattr(command, "commands")
        found += leaves(command, f"{name} ") if nested else [(above + name, command)]
    return found


def options() -> list[tuple[str, str, str]]:
    """Command, option, and what the help calls its value; nothing for a flag."""
    group = typer.main.get_command(app)
    found = []
    for name, command in leaves(group):
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--"):
                value = "" if parameter.is_flag else f" {parameter.metavar}"
                found.append((name, longest, value))
    return found


@pytest.mark.parametrize(("command", "option", "value"), options())
def test_every_option_stands_on_its_page(command: str, option: str, value: str) -> None:
    first = command.split()[0]
    page = (ROOT / "docs" / f"{first}.md").read_text()
    if first != command:
        page = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
    if option in COMMON:
        page = (ROOT / "README.md").read_text().split("## The commands\n")[1].split("\n## ")[0]
    assert re.search(rf"(`|, ){option}{value}(?![A-Za-z0-9-])", page), f"{command} {option}{value}"


def test_every_page_is_of_a_command_and_in_the_readme() -> None:
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages == {command.split()[0] for command, _, _ in options()}
    readme = (ROOT / "README.md").read_text()
    assert all(f"[`{page}`](docs/{page}.md)" in readme for page in pages)


def test_no_option_of_the_pages_is_unknown() -> None:
    known = {option for _, option, _ in options()} | {"--help", "--version", "--install-completion"}
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text().split("## Figures")[0]
        assert set(re.findall(r"--[a-z0-9][a-z0-9-]*", text)) <= known, page


def test_the_changelog_begins_with_the_version(run: Run) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {__version__}" in changelog
    assert run("--version").stdout.strip() == f"mocosearch {__version__}"


def test_help_has_an_example_for_each_command(run: Run) -> None:
    for name in {command for command, _, _ in options()} | {"", "encoders"}:
        assert "Example: mocosearch" in run(*name.split(), "--help").stdout
