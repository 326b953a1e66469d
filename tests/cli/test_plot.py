from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageFont

from cli.plot import COLOURS, check, draw, wrap

SHARES = {"one": {"p@1": 0.5, "p@10": 0.25}, "two": {"p@1": 1.0, "p@10": 0.0}}


def run_lengths(picture: Image.Image, colour: str) -> list[int]:
    """Lengths of the horizontal runs of a colour, one per bar, from top to bottom."""
    rgb = ImageColor.getrgb(colour)
    lengths = [0]
    for y in range(picture.height):
        row = [picture.getpixel((x, y)) == rgb for x in range(300, picture.width)]
        if (length := sum(row)) != lengths[-1]:
            lengths.append(length)
    return [length for length in lengths if length > 30]


def test_bars_are_proportional_to_their_shares(tmp_path: Path) -> None:
    draw(tmp_path / "plot.png", "Title", "Some words.", SHARES)
    with Image.open(tmp_path / "plot.png") as picture:
        first, second = run_lengths(picture, COLOURS[0])
        (whole,) = run_lengths(picture, COLOURS[1])
    assert first / whole == pytest.approx(0.5, abs=0.01)
    assert second / whole == pytest.approx(0.25, abs=0.01)


@given(st.text("ab ", max_size=300), st.integers(1, 300))
def test_wrap_preserves_words_and_fits(words: str, width: int) -> None:
    font = ImageFont.load_default(24)
    lines = wrap(words, font, width)
    assert " ".join(lines).split() == words.split()
    assert all(font.getlength(line) <= width or " " not in line for line in lines)


def test_a_name_that_is_not_a_picture() -> None:
    check(Path("plot.PNG"))
    with pytest.raises(typer.BadParameter, match=r"plot\.xls"):
        check(Path("plot.xls"))
