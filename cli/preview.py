"""Pictures in the terminal, from half-blocks: two pixels a character, in 24-bit colour."""

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cli.display import printable

if TYPE_CHECKING:
    from mocosearch.photos.decode import Pixels

COLUMNS, ROWS = 22, 11
"""Characters of one picture; a character is about twice as high as wide."""
GAP = 2


def draw(paths: Sequence[str]) -> None:
    """Draw photos side by side, each under its rank, as many a row as the terminal holds."""
    each = max(shutil.get_terminal_size().columns // (COLUMNS + GAP), 1)
    for start in range(0, len(paths), each):
        shown = paths[start : start + each]
        names = [str(rank).ljust(COLUMNS) for rank in range(start + 1, start + len(shown) + 1)]
        pictures = [_blocks(path) for path in shown]
        rows = [names, *zip(*pictures, strict=True)]
        for row in rows:
            sys.stdout.write((" " * GAP).join(row).rstrip(" ") + "\n")


def _blocks(path: str) -> list[str]:
    """ROWS lines of COLUMNS characters; a photo that is gone is its reason."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import read, upright

    try:
        data = read(path)
        picture = upright(data or b"", 4 * COLUMNS)
    except Unreadable as error:
        return [printable(error.what)[:COLUMNS].ljust(COLUMNS), *[" " * COLUMNS] * (ROWS - 1)]
    picture.thumbnail((COLUMNS, 2 * ROWS))
    pixels = np.asarray(picture)
    last, lines = len(pixels) - 1, []
    for y in range(0, 2 * ROWS, 2):
        pair = pixels[min(y, last) : y + 2]
        cells = [_cell(pair[0, x], pair[-1, x]) for x in range(pixels.shape[1]) if y <= last]
        lines.append("".join(cells) + "\x1b[0m" + " " * (COLUMNS - len(cells)))
    return lines


def _cell(upper: "Pixels", lower: "Pixels") -> str:
    colours = ";".join(map(str, upper)), ";".join(map(str, lower))
    return f"\x1b[38;2;{colours[0]};48;2;{colours[1]}m▀"
