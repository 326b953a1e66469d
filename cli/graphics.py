"""A picture as the escape sequences of the three protocols for pictures in terminals.

Each leaves the cursor wherever it likes: who draws saves it before and restores it after.
By hand, for none of the libraries there are (2026) draws all three: textual-image asks the terminal
when it is imported, may keep a key that is typed meanwhile, and knows no iTerm2; chafa.py has seen
no release for two years and wants the system's glib; term-image holds Pillow below 11.
"""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_CHUNK = 4096
"""Bytes of a message, of those that kitty takes at once."""
COLOURS = 256
BAND = 6
"""Rows of pixels in a line of sixels."""


def kitty(picture: "Image", columns: int, rows: int) -> str:
    """The graphics protocol of kitty: PNG in pieces, without an answer from the terminal.

    Of `columns` and `rows` that side is given which the picture fills; the other follows.
    Source: sw.kovidgoyal.net/kitty/graphics-protocol.
    """
    # Twice as high as wide is a character, about.
    side = f"c={columns}" if picture.width * rows * 2 >= picture.height * columns else f"r={rows}"
    data = base64.b64encode(_png(picture)).decode()
    pieces = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    head = f"a=T,f=100,q=2,C=1,{side},"
    made = []
    for number, piece in enumerate(pieces, 1):
        made.append(f"\x1b_G{head}m={int(number < len(pieces))};{piece}\x1b\\")
        head = "q=2,"
    return "".join(made)


def iterm(picture: "Image", columns: int, rows: int) -> str:
    """The inline pictures of iTerm2, fitted into a box of characters.

    Source: iterm2.com/documentation-images.html.
    """
    data = _png(picture)
    facts = f"inline=1;size={len(data)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={facts}:{base64.b64encode(data).decode()}\x07"


def sixel(picture: "Image") -> str:
    """Sixels: bands of six rows, each colour of a band in turn, in up to 256 colours.

    Source: DEC, VT330/VT340 Programmer Reference Manual, volume 2, chapter 14.
    """
    small = picture.quantize(COLOURS)
    palette = np.asarray(small.getpalette("RGB"), int).reshape(-1, 3)
    pixels = np.asarray(small)
    short = -len(pixels) % BAND
    used = np.unique(pixels)
    shares = (palette[used] * 100 + 127) // 255
    made = [f'\x1bP0;1q"1;1;{picture.width};{picture.height}']
    for colour, (r, g, b) in zip(used, shares, strict=True):
        made.append(f"#{colour};2;{r};{g};{b}")
    # Rows that fill up the last band are of no colour.
    padded = np.pad(pixels.astype(int), ((0, short), (0, 0)), constant_values=-1)
    weights = (1 << np.arange(BAND))[:, None]
    for band in padded.reshape(-1, BAND, picture.width):
        lines = []
        for colour in np.unique(band[band >= 0]):
            bits = ((band == colour) * weights).sum(0)
            lines.append(f"#{colour}" + _packed(bits + ord("?")))
        made.append("$".join(lines) + "-")
    return "".join(made) + "\x1b\\"


def _packed(codes: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> str:
    """Characters, those that come four times or more as a count and one of them."""
    ends = np.flatnonzero(np.diff(codes)) + 1
    made = []
    for run in np.split(codes, ends):
        letter = chr(run[0])
        made.append(f"!{len(run)}{letter}" if len(run) > 3 else letter * len(run))
    return "".join(made)


def _png(picture: "Image") -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
