"""What the terminal shows: in a pseudo-terminal of its own."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import PROGRAM, environment

from cli.results import BAR, bar, odds, shortened, width_of

ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;;[^\x1b]*\x1b\\")


def on_a_terminal(home: Path, *words: object, columns: int = 90, **changes: str) -> str:
    """What the program writes to a terminal."""
    env = {**environment(home), "COLUMNS": str(columns), "TERM": "xterm-256color", **changes}
    if not env["NO_COLOR"]:
        del env["NO_COLOR"]
    terminal, inside = pty.openpty()
    line = [str(PROGRAM), *map(str, words)]
    with subprocess.Popen(line, stdin=inside, stdout=inside, stderr=inside, env=env) as process:
        os.close(inside)
        shown = b""
        while True:
            try:
                shown += (more := os.read(terminal, 65536))
            except OSError:
                break
            if not more:
                break
    os.close(terminal)
    assert process.returncode == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_a_table_with_colours_and_links_that_fits(made: Path, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    shown = on_a_terminal(made, "query", photo, "-k", 3, NO_COLOR="")
    assert "\x1b[34m" in shown
    assert f"\x1b]8;;{photo.as_uri()}\x1b\\" in shown
    plain = ESCAPES.sub("", shown)
    assert "\x1b" not in plain
    assert "160x120" in plain
    assert "photo 00.jpg" in plain
    assert max(map(width_of, plain.splitlines())) <= 90


@pytest.mark.parametrize("how", ["option", "NO_COLOR", "dumb"])
def test_no_colour_where_none_is_wanted(made: Path, photos: Path, how: str) -> None:
    words = ["query", photos / "other" / "photo 00.jpg", "-k", 3]
    changes = {"option": "", "NO_COLOR": "1", "dumb": ""}
    more = ["--no-color"] if how == "option" else []
    term = "dumb" if how == "dumb" else "xterm"
    shown = on_a_terminal(made, *words, *more, NO_COLOR=changes[how], TERM=term)
    assert "\x1b[" not in shown
    assert ("\x1b]8" in shown) == (how != "dumb")


def test_previews_are_pictures_of_two_pixels_a_character(made: Path, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    shown = on_a_terminal(made, "query", photo, "-k", 3, "--preview", NO_COLOR="")
    assert shown.count("▀") > 3 * 100
    assert "\x1b[38;2;" in shown


@given(st.floats(-1, 1.001))
def test_a_bar_is_as_long_as_its_score(score: float) -> None:
    assert width_of(bar(score)) == len(bar(score, blocks=False)) == BAR
    assert bar(score).count("█") == pytest.approx(max(score, 0) * BAR, abs=1)


@given(st.text(max_size=60), st.integers(2, 40))
def test_a_shortened_path_fits_and_keeps_its_end(path: str, width: int) -> None:
    short = shortened(path, width)
    assert width_of(short) <= max(width, width_of(path) if width_of(path) <= width else 0)
    assert short == path or (short[0] == "…" and path.endswith(short[1:]))


def test_odds_are_short() -> None:
    assert [odds(x) for x in (1, 39.6, 9999, 20_400, 3e7, 1e9)] == [
        "1 in 1",
        "1 in 40",
        "1 in 9999",
        "1 in 20k",
        "1 in 30M",
        "1 in 999M",
    ]
