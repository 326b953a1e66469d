"""Results drawn in the terminal: as real pictures where it can, else two pixels a character, which
rich colours.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cli.display import one_line, warn
from cli.terminal import Cell, Pictures, cell_size, pictures

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS, ROWS = 22, 11
"""Characters of one picture; a character is about twice as high as wide."""
GAP = 2


def draw(paths: Sequence[str]) -> None:
    """Draw photos side by side, each under its rank, as many a row as the terminal holds."""
    how = pictures(os.environ)
    if how == "none":
        warn("this terminal draws no pictures; --gallery FILE writes a page of them")
        return
    each = max(shutil.get_terminal_size().columns // (COLUMNS + GAP), 1)
    deep, cell = _deep(os.environ), cell_size()
    for start in range(0, len(paths), each):
        shown = [_opened(path, how, cell) for path in paths[start : start + each]]
        ranks = [str(start + number).ljust(COLUMNS) for number in range(1, len(shown) + 1)]
        sys.stdout.write((" " * GAP).join(ranks).rstrip(" ") + "\n")
        if how == "blocks":
            lines = zip(*(_blocks(one, deep) for one in shown), strict=True)
            sys.stdout.writelines((" " * GAP).join(line).rstrip(" ") + "\n" for line in lines)
        else:
            sys.stdout.write(_placed(shown, how))
        sys.stdout.flush()


def _deep(environment: Mapping[str, str]) -> bool:
    """Whether 24 bits of colour are shown; Apple's terminal long made stripes of them."""
    program = environment.get("TERM_PROGRAM")
    return program != "Apple_Terminal" or environment.get("COLORTERM") in ("truecolor", "24bit")


def _opened(path: str, how: Pictures, cell: Cell) -> "Image | str":
    """A photo, as large as its place; one that cannot be read is its reason."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode_image, read

    box = (COLUMNS, 2 * ROWS) if how == "blocks" else (COLUMNS * cell.width, ROWS * cell.height)
    try:
        picture = decode_image(read(path) or b"", max(2 * max(box), 4 * COLUMNS))
    except Unreadable as error:
        return one_line(error.what)[:COLUMNS]
    picture.thumbnail(box)
    return picture


def _placed(shown: "Sequence[Image | str]", how: Pictures) -> str:
    """Room for a row of pictures, then each in its place.

    The room is made first: where the screen scrolls, saved places of the cursor do not.
    """
    from cli import graphics

    made = ["\n" * ROWS, f"\x1b[{ROWS}A"]
    for number, one in enumerate(shown):
        if isinstance(one, str):
            content = one
        elif how == "kitty":
            content = graphics.kitty(one, COLUMNS, ROWS)
        elif how == "iterm":
            content = graphics.iterm(one, COLUMNS, ROWS)
        else:
            content = graphics.sixel(one)
        made.append(f"\x1b[{number * (COLUMNS + GAP) + 1}G\x1b7{content}\x1b8")
    return "".join(made) + f"\x1b[{ROWS}B\r"


def _blocks(one: "Image | str", deep: bool) -> list[str]:
    """ROWS lines of COLUMNS characters."""
    if isinstance(one, str):
        return [one.ljust(COLUMNS), *[" " * COLUMNS] * (ROWS - 1)]
    from rich.color import Color, ColorSystem
    from rich.style import Style

    system = ColorSystem.TRUECOLOR if deep else ColorSystem.EIGHT_BIT
    pixels = np.asarray(one).tolist()
    last, lines = len(pixels) - 1, []
    for y in range(0, 2 * ROWS, 2):
        pair = pixels[y : y + 2] if y <= last else [[]]
        cells = [
            Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
            for upper, lower in zip(pair[0], pair[-1], strict=True)
        ]
        drawn = "".join(cell.render("▀", color_system=system) for cell in cells)
        lines.append(drawn + " " * (COLUMNS - len(cells)))
    return lines
