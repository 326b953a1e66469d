"""Pictures in terminals: what each kind gets, also one that does not answer."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from screen import on_a_terminal

from cli.graphics import iterm, kitty, sixel
from cli.preview import COLUMNS, ROWS

KITTY = re.compile(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\")
ITERM = re.compile(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07")
SIXEL = re.compile(r"\x1bP0;1q.*?\x1b\\", re.DOTALL)
SOLID = arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))


def query(photos: Path, *more: object) -> list[object]:
    return ["query", photos / "other" / "photo 00.jpg", "-k", 3, "--preview", *more]


def kitty_pictures(text: str) -> list[Image.Image]:
    """As kitty reads them: pieces up to one with m=0."""
    images, data = [], ""
    for keys, piece in KITTY.findall(text):
        assert len(piece) <= 4096
        assert "q=2" in keys
        data += piece
        if "m=0" in keys:
            images.append(Image.open(io.BytesIO(base64.b64decode(data))))
            data = ""
    assert not data
    return images


def read_sixels(text: str) -> np.ndarray:
    """A simple reader of sixels: per cent, int (h, w, 3); -1 where nothing is drawn."""
    head, body = text.removeprefix("\x1bP0;1q").removesuffix("\x1b\\").split("#", 1)
    width, height = map(int, re.fullmatch(r'"1;1;(\d+);(\d+)', head).groups())  # type: ignore[union-attr]
    canvas = np.full((-(-height // 6) * 6, width, 3), -1)
    colours: dict[int, tuple[int, ...]] = {}
    colour, x, y = 0, 0, 0
    tokens = r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|(\$)|(-)"
    for at in re.finditer(tokens, "#" + body):
        if at[1]:
            colours[int(at[1])] = tuple(map(int, at.group(2, 3, 4)))
        elif at[5]:
            colour = int(at[5])
        elif at[9]:
            x = 0
        elif at[10]:
            x, y = 0, y + 6
        else:
            letter, count = (at[7], int(at[6])) if at[6] else (at[8], 1)
            for bit in range(6):
                if (ord(letter) - 63) >> bit & 1:
                    canvas[y + bit, x : x + count] = colours[colour]
            x += count
    return canvas[:height]


@settings(deadline=None)
@given(SOLID)
def test_sixels_draw_every_pixel_in_its_colour(pixels: np.ndarray) -> None:
    picture = Image.fromarray(pixels)
    expected = np.asarray(picture.quantize(256).convert("RGB"), int)
    assert np.array_equal(read_sixels(sixel(picture)), (expected * 100 + 127) // 255)


@settings(deadline=None)
@given(SOLID)
def test_kitty_and_iterm_send_the_picture_itself(pixels: np.ndarray) -> None:
    picture = Image.fromarray(pixels)
    (sent,) = kitty_pictures(kitty(picture, 22, 11))
    assert np.array_equal(np.asarray(sent), pixels)
    (facts, data), *rest = ITERM.findall(iterm(picture, 22, 11))
    assert not rest
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)
    assert "width=22;height=11" in facts


@pytest.mark.parametrize("name", ["TERM=xterm-kitty", "KITTY_WINDOW_ID=3", "TERM_PROGRAM=ghostty"])
def test_kitty_gets_png(ready_home: Path, photos: Path, name: str) -> None:
    key, value = name.split("=")
    shown = on_a_terminal(ready_home, *query(photos), pixels=(900, 800), **{key: value})
    pictures = kitty_pictures(shown.text)
    assert [picture.format for picture in pictures] == ["PNG"] * 3
    assert all(p.width <= COLUMNS * 10 and p.height <= ROWS * 20 for p in pictures)
    assert "\x1b[c" not in shown.text


@pytest.mark.parametrize("name", ["TERM_PROGRAM=iTerm.app", "TERM_PROGRAM=WezTerm"])
def test_iterm_gets_files_in_a_box(ready_home: Path, photos: Path, name: str) -> None:
    key, value = name.split("=")
    shown = on_a_terminal(ready_home, *query(photos), **{key: value})
    assert len(ITERM.findall(shown.text)) == 3
    assert "▀" not in shown.text


def test_a_terminal_with_sixels_gets_them_no_larger_than_their_place(
    ready_home: Path, photos: Path
) -> None:
    shown = on_a_terminal(ready_home, *query(photos), pixels=(630, 560), answer=b"\x1b[?62;4;22c")
    pictures = [read_sixels(text) for text in SIXEL.findall(shown.text)]
    assert len(pictures) == 3
    assert all(p.shape[1] <= COLUMNS * 7 and p.shape[0] <= ROWS * 14 for p in pictures)
    assert all((p >= 0).all() for p in pictures)
    assert shown.left == b""


def test_other_terminals_get_two_pixels_a_character(ready_home: Path, photos: Path) -> None:
    shown = on_a_terminal(ready_home, *query(photos), answer=b"\x1b[?1;2c")
    assert shown.text.count("▀") > 3 * 100
    assert "\x1b[38;2;" in shown.text
    assert shown.left == b""


def test_a_terminal_that_does_not_answer_gets_them_too(ready_home: Path, photos: Path) -> None:
    shown = on_a_terminal(ready_home, *query(photos))
    assert shown.text.count("\x1b[c") == 1
    assert shown.text.count("▀") > 3 * 100
    assert shown.left == b""


def test_half_an_answer_does_not_reach_the_shell(ready_home: Path, photos: Path) -> None:
    shown = on_a_terminal(ready_home, *query(photos), answer=b"\x1b[?62;4")
    assert shown.text.count("▀") > 3 * 100
    assert shown.left == b""


def test_tmux_answers_whatever_terminal_is_around_it(ready_home: Path, photos: Path) -> None:
    around = {"TMUX": "/tmp/x,1,0", "TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}
    shown = on_a_terminal(ready_home, *query(photos), answer=b"\x1b[?1;2c", **around)
    assert not KITTY.search(shown.text)
    assert shown.text.count("▀") > 3 * 100


def test_apples_old_terminal_gets_256_colours(ready_home: Path, photos: Path) -> None:
    apple = {"TERM_PROGRAM": "Apple_Terminal", "answer": b"\x1b[?1;2c"}
    shown = on_a_terminal(ready_home, *query(photos), **apple)  # type: ignore[arg-type]
    assert "\x1b[38;5;" in shown.text
    assert "\x1b[38;2;" not in shown.text


def test_a_dumb_terminal_gets_a_hint(ready_home: Path, photos: Path) -> None:
    shown = on_a_terminal(ready_home, *query(photos), TERM="dumb")
    assert "--gallery" in shown.text
    assert "\x1b" not in shown.text
