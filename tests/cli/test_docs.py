"""The documents are true: option tables are current, and no unknown option is named."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from program import command
from typer.testing import CliRunner

from cli.main import app
from docs.options import COMMON, EVERY, TABLE, commands, page
from mocosearch import __version__

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = commands()
OTHERS = {"benchmarks", "commands", "method", "python", "scale", "teacher"}
"""Pages that describe no single command."""


def options(name: str) -> set[str]:
    """The long options of a command."""
    opts = {opt for parameter in COMMANDS[name].params for opt in parameter.opts}
    return {opt for opt in opts if opt.startswith("--")} | set(COMMON)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_option_tables_are_current(path: Path) -> None:
    text = path.read_text()
    assert text == page(text), "run: make docs"


def test_every_command_has_a_table_on_its_page() -> None:
    tables = {path.stem: [m[1] for m in TABLE.finditer(path.read_text())] for path in PAGES}
    assert tables.pop("commands") == [EVERY]
    expected: dict[str, list[str]] = {stem: [] for stem in OTHERS - {"commands"}}
    for name in COMMANDS:
        expected.setdefault(name.split()[0], []).append(name)
    assert tables == expected


def test_a_stale_table_and_an_unknown_command_are_noticed() -> None:
    text = (ROOT / "docs" / "query.md").read_text()
    stale = re.sub(r"\| `--top N`.*\n", "| `--most N` | How many. |\n", text)
    assert stale != text
    assert page(stale) == text
    with pytest.raises(KeyError):
        page("<!-- options: absent -->\n<!-- end -->\n")


def test_a_cell_cannot_break_its_table() -> None:
    for path in PAGES:
        for table in TABLE.finditer(path.read_text()):
            for line in table[0].splitlines()[2:]:
                assert len(re.findall(r"(?<!\\)\|", line)) == 3, line


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in PAGES:
        assert f"(docs/{path.name})" in readme


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_links_lead_to_files() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
    for path in pages:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert "://" in link or (path.parent / link).exists(), f"{path}: {link}"


def test_the_layout_names_every_package() -> None:
    layout = (ROOT / "CONTRIBUTING.md").read_text().split("```")[1]
    for top in ("mocosearch", "indexes", "cli"):
        for package in (ROOT / top).rglob("__init__.py"):
            assert re.search(rf"^ *{package.parent.name}/ ", layout, re.MULTILINE), package


def test_no_option_of_the_pages_is_unknown() -> None:
    own_options = {"--version", "--install-completion"}.union(*map(options, COMMANDS))
    # uv's, which test_readme checks, TensorBoard's, systemctl's and torchrun's.
    of_others = {"--overrides", "--torch-backend", "--logdir", "--user", "--now"}
    of_others |= {"--nproc-per-node", "--max-restarts"}
    for path in (ROOT / "README.md", *PAGES):
        if path.stem != "benchmarks":
            words = set(re.findall(r"--[a-z0-9][a-z0-9-]*", path.read_text()))
            assert words <= own_options | of_others, path


def test_the_version_is_the_same_everywhere(home: Path) -> None:
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(heading for heading in headings if heading != "Unreleased") == __version__
    assert command("--version", home=home).stdout == f"mocosearch {__version__}\n"
    assert version("mocosearch") == __version__


@pytest.mark.parametrize("name", [*COMMANDS, "", "encoders"])
def test_help_has_an_example_for_each_command(name: str) -> None:
    text = CliRunner().invoke(app, [*name.split(), "--help"]).stdout
    assert "Example: mocosearch" in text
