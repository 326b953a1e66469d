"""A picture as escape sequences of the three protocols for pictures in terminals.

Each leaves the cursor in another place, so callers save it before and restore it after.
None of the libraries (2026) supports all three protocols: textual-image queries the terminal when
it is imported, may swallow a key that is typed meanwhile, and lacks iTerm2; chafa.py has had no
release for two years and needs the system's glib; term-image requires Pillow below 11.
"""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_CHUNK = 4096
"""Most bytes that kitty accepts in one message."""
COLOURS = 256
"""Size of a palette of sixels."""
BAND = 6
"""Rows of pixels in one line of sixels."""


def kitty(picture: "Image", columns: int, rows: int) -> str:
    """The graphics protocol of kitty: PNG in pieces, without an answer from the terminal.

    Only the side that the picture fills, `columns` or `rows`, is sent; the other follows from it.
    Source: sw.kovidgoyal.net/kitty/graphics-protocol.
    """
    # A character is about twice as high as wide.
    side = f"c={columns}" if picture.width * rows * 2 >= picture.height * columns else f"r={rows}"
    data = base64.b64encode(_png(picture)).decode()
    pieces = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    head = f"a=T,f=100,q=2,C=1,{side},"
    messages = []
    for number, piece in enumerate(pieces, 1):
        messages.append(f"\x1b_G{head}m={int(number < len(pieces))};{piece}\x1b\\")
        head = "q=2,"
    return "".join(messages)


def iterm(picture: "Image", columns: int, rows: int) -> str:
    """The inline images of iTerm2, scaled to fit a box of characters.

    Source: iterm2.com/documentation-images.html.
    """
    data = _png(picture)
    facts = f"inline=1;size={len(data)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={facts}:{base64.b64encode(data).decode()}\x07"


def sixel(picture: "Image") -> str:
    """Sixels: bands of six rows; within a band, one colour after another, up to 256 colours.

    Source: DEC, VT330/VT340 Programmer Reference Manual, volume 2, chapter 14.
    """
    small = picture.quantize(COLOURS)
    palette = np.asarray(small.getpalette("RGB"), int).reshape(-1, 3)
    pixels = np.asarray(small)
    short = -len(pixels) % BAND
    used = np.unique(pixels)
    shares = (palette[used] * 100 + 127) // 255
    parts = [f'\x1bP0;1q"1;1;{picture.width};{picture.height}']
    for colour, (r, g, b) in zip(used, shares, strict=True):
        parts.append(f"#{colour};2;{r};{g};{b}")
    # The rows that pad the last band have no colour.
    padded = np.pad(pixels.astype(int), ((0, short), (0, 0)), constant_values=-1)
    weights = (1 << np.arange(BAND))[:, None]
    for band in padded.reshape(-1, BAND, picture.width):
        lines = []
        for colour in np.unique(band[band >= 0]):
            bits = ((band == colour) * weights).sum(0)
            lines.append(f"#{colour}" + _pack(bits + ord("?")))
        parts.append("$".join(lines) + "-")
    return "".join(parts) + "\x1b\\"


def _pack(codes: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> str:
    """Characters; four or more of one kind in a row become a count and one of them."""
    ends = np.flatnonzero(np.diff(codes)) + 1
    parts = []
    for run in np.split(codes, ends):
        letter = chr(run[0])
        parts.append(f"!{len(run)}{letter}" if len(run) > 3 else letter * len(run))
    return "".join(parts)


def _png(picture: "Image") -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
