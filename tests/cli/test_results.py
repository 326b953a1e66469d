"""What a terminal shows, in a pseudo-terminal."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from program import command, make_photos
from screen import on_a_terminal

from cli.results import BAR, bar, odds, shorten, width_of

ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;;[^\x1b]*\x1b\\")


def test_a_table_with_colours_and_links_that_fits(ready_home: Path, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    shown = on_a_terminal(ready_home, "query", photo, "-k", 3, NO_COLOR="").text
    assert "\x1b[34m" in shown
    assert f"\x1b]8;;{photo.as_uri()}\x1b\\" in shown
    plain = ESCAPES.sub("", shown)
    assert "\x1b" not in plain
    assert "160x120" in plain
    assert "photo 00.jpg" in plain
    assert max(map(width_of, plain.splitlines())) <= 90


def test_names_are_escaped_on_terminals_only(ready_home: Path, tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path / "photos", 1)
    for name in ("a\x1b[2Jb.jpg", "a\x1b[2J\nc.jpg"):
        shutil.copy(photo, tmp_path / "photos" / name)
    index = tmp_path / "index"
    assert command("index", tmp_path / "photos", "--index", index, home=ready_home).returncode == 0
    for words in (
        ["query", photo, "--paths"],
        ["query", photo, "--all"],
        ["duplicates", "--csv"],
        ["duplicates", "--script"],
        ["duplicates"],
    ):
        shown = on_a_terminal(ready_home, *words, "--index", index).text
        assert r"a\x1b[2Jb.jpg" in shown
        assert r"a\x1b[2J\nc.jpg" in shown
        assert "\x1b[2J" not in shown
        if {"--paths", "--csv", "--script"} & set(words):
            assert "\x1b[2J\nc.jpg" in command(*words, "--index", index, home=ready_home).stdout
    assert "\x1b[2J" in on_a_terminal(ready_home, "query", photo, "-0", "--index", index).text


def test_a_column_of_dates_if_any_photo_has_one(ready_home: Path, tmp_path: Path) -> None:
    photo, _ = make_photos(tmp_path / "photos", 2)
    index = tmp_path / "index"
    words = ["query", photo, "--index", index]
    assert command("index", tmp_path / "photos", "--index", index, home=ready_home).returncode == 0
    (size,) = {
        line.index("160x120") for line in on_a_terminal(ready_home, *words).text.splitlines()
    }
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2019:07:14 12:00:00"}
    with Image.open(photo) as picture:
        picture.save(photo, exif=exif, quality=92)
    assert command("index", tmp_path / "photos", "--index", index, home=ready_home).returncode == 0
    dated, undated = on_a_terminal(ready_home, *words).text.splitlines()
    assert " 2019-07-14    160x120" in dated
    assert dated.index("160x120") == undated.index("160x120") == size + len("2019-07-14  ")


@pytest.mark.parametrize("how", ["option", "NO_COLOR", "dumb"])
def test_output_without_colour(ready_home: Path, photos: Path, how: str) -> None:
    words = ["query", photos / "other" / "photo 00.jpg", "-k", 3]
    changes = {"option": "", "NO_COLOR": "1", "dumb": ""}
    more = ["--no-color"] if how == "option" else []
    term = "dumb" if how == "dumb" else "xterm"
    shown = on_a_terminal(ready_home, *words, *more, NO_COLOR=changes[how], TERM=term).text
    assert "\x1b[" not in shown
    assert ("\x1b]8" in shown) == (how != "dumb")


@given(st.floats(-1, 1.001))
def test_a_bar_is_as_long_as_its_score(score: float) -> None:
    assert width_of(bar(score)) == len(bar(score, blocks=False)) == BAR
    assert bar(score).count("█") == pytest.approx(max(score, 0) * BAR, abs=1)


@given(st.text(max_size=60), st.integers(2, 40))
def test_a_shortened_path_fits_and_keeps_its_end(path: str, width: int) -> None:
    short = shorten(path, width)
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
