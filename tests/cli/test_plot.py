from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageFont

from cli.plot import COLOURS, check, draw, wrap

SHARES = {"one": {"p@1": 0.5, "p@10": 0.25}, "two": {"p@1": 1.0, "p@10": 0.0}}


def longest(picture: Image.Image, colour: str) -> list[int]:
    """The lengths of the runs of a colour, a bar once each, top to bottom."""
    wanted = ImageColor.getrgb(colour)
    found = [0]
    for y in range(picture.height):
        row = [picture.getpixel((x, y)) == wanted for x in range(300, picture.width)]
        if (length := sum(row)) != found[-1]:
            found.append(length)
    return [length for length in found if length > 30]


def test_bars_are_as_long_as_their_shares(tmp_path: Path) -> None:
    draw(tmp_path / "plot.png", "Title", "Some words.", SHARES)
    with Image.open(tmp_path / "plot.png") as picture:
        first, second = longest(picture, COLOURS[0])
        (whole,) = longest(picture, COLOURS[1])
    assert first / whole == pytest.approx(0.5, abs=0.01)
    assert second / whole == pytest.approx(0.25, abs=0.01)


@given(st.text("ab ", max_size=300), st.integers(1, 300))
def test_wrap_words_are_all_there_and_fit(words: str, width: int) -> None:
    font = ImageFont.load_default(24)
    lines = wrap(words, font, width)
    assert " ".join(lines).split() == words.split()
    assert all(font.getlength(line) <= width or " " not in line for line in lines)


def test_a_name_that_is_no_picture() -> None:
    check(Path("plot.PNG"))
    with pytest.raises(typer.BadParameter, match=r"plot\.xls"):
        check(Path("plot.xls"))
