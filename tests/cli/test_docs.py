"""The documents are true: every command and option stands in the README."""

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


def options() -> list[tuple[str, str]]:
    group = typer.main.get_command(app)
    found = []
    for name, command in leaves(group):
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--"):
                found.append((name, longest))
    return found


@pytest.mark.parametrize(("command", "option"), options())
def test_every_option_stands_in_the_readme(command: str, option: str) -> None:
    readme = (ROOT / "README.md").read_text()
    place = "## The commands\n" if option in COMMON else f"### {command}\n"
    section = readme.split(place)[1].split("\n### ")[0].split("\n## ")[0]
    assert f"`{option}" in section or f", {option}" in section, f"{command} {option}"


def test_no_option_of_the_readme_is_unknown() -> None:
    readme = (ROOT / "README.md").read_text()
    reference = readme.split("## The commands")[1].split("\n## ")[0]
    known = {option for _, option in options()} | {"--help", "--version", "--install-completion"}
    assert set(re.findall(r"--[a-z0-9][a-z0-9-]*", reference)) <= known


def test_the_changelog_begins_with_the_version(run: Run) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {__version__}" in changelog
    assert run("--version").stdout.strip() == f"mocosearch {__version__}"


def test_help_has_an_example_for_each_command(run: Run) -> None:
    for name in {command for command, _ in options()}:
        assert "Example: mocosearch" in run(*name.split(), "--help").stdout
