"""Results as pictures in the terminal: images if it can draw them, else two coloured pixels per
character.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cli.boxes import Box, draw_box
from cli.display import one_line, warn
from cli.terminal import Cell, Protocol, cell_size, picture_protocol

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS, ROWS = 22, 11
"""Size of one picture in characters; a character is about twice as high as wide."""
GAP = 2
"""Columns between two pictures."""


def draw(paths: Sequence[str], boxes: Sequence[Box | None] = ()) -> None:
    """Draw photos side by side, each under its rank, as many per row as the terminal holds. boxes:
    to draw into the photos, one for each if any.
    """
    protocol = picture_protocol(os.environ)
    if protocol == "none":
        warn("this terminal cannot show pictures; --gallery FILE writes a page of them")
        return
    per_row = max(shutil.get_terminal_size().columns // (COLUMNS + GAP), 1)
    true_colour, cell = _has_true_colour(os.environ), cell_size()
    for start in range(0, len(paths), per_row):
        row = [_thumbnail(path, protocol, cell) for path in paths[start : start + per_row]]
        for picture, box in zip(row, boxes[start : start + per_row], strict=False):
            if not isinstance(picture, str):
                draw_box(picture, box)
        ranks = [str(start + number).ljust(COLUMNS) for number in range(1, len(row) + 1)]
        sys.stdout.write((" " * GAP).join(ranks).rstrip(" ") + "\n")
        if protocol == "blocks":
            lines = zip(*(_blocks(picture, true_colour) for picture in row), strict=True)
            sys.stdout.writelines((" " * GAP).join(line).rstrip(" ") + "\n" for line in lines)
        else:
            sys.stdout.write(_row(row, protocol))
        sys.stdout.flush()


def _has_true_colour(environment: Mapping[str, str]) -> bool:
    """Whether the terminal shows 24-bit colours; older versions of Apple's draw stripes."""
    program = environment.get("TERM_PROGRAM")
    return program != "Apple_Terminal" or environment.get("COLORTERM") in ("truecolor", "24bit")


def _thumbnail(path: str, protocol: Protocol, cell: Cell) -> "Image | str":
    """A photo scaled to its place, or the reason why it cannot be read."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode_image, read

    characters = protocol == "blocks"
    box = (COLUMNS, 2 * ROWS) if characters else (COLUMNS * cell.width, ROWS * cell.height)
    try:
        picture = decode_image(read(path) or b"", max(2 * max(box), 4 * COLUMNS))
    except Unreadable as error:
        return one_line(error.what)[:COLUMNS]
    picture.thumbnail(box)
    return picture


def _row(row: "Sequence[Image | str]", protocol: Protocol) -> str:
    """Empty lines, then each picture of the row in its place.

    The lines come first, because the screen may scroll and a saved cursor position does not.
    """
    from cli import graphics

    parts = ["\n" * ROWS, f"\x1b[{ROWS}A"]
    for number, picture in enumerate(row):
        if isinstance(picture, str):
            content = picture
        elif protocol == "kitty":
            content = graphics.kitty(picture, COLUMNS, ROWS)
        elif protocol == "iterm":
            content = graphics.iterm(picture, COLUMNS, ROWS)
        else:
            content = graphics.sixel(picture)
        parts.append(f"\x1b[{number * (COLUMNS + GAP) + 1}G\x1b7{content}\x1b8")
    return "".join(parts) + f"\x1b[{ROWS}B\r"


def _blocks(picture: "Image | str", true_colour: bool) -> list[str]:
    """ROWS lines of COLUMNS characters."""
    if isinstance(picture, str):
        return [picture.ljust(COLUMNS), *[" " * COLUMNS] * (ROWS - 1)]
    from rich.color import Color, ColorSystem
    from rich.style import Style

    system = ColorSystem.TRUECOLOR if true_colour else ColorSystem.EIGHT_BIT
    pixels = np.asarray(picture).tolist()
    last, lines = len(pixels) - 1, []
    for y in range(0, 2 * ROWS, 2):
        pair = pixels[y : y + 2] if y <= last else [[]]
        cells = [
            Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
            for upper, lower in zip(pair[0], pair[-1], strict=True)
        ]
        line = "".join(cell.render("▀", color_system=system) for cell in cells)
        lines.append(line + " " * (COLUMNS - len(cells)))
    return lines
