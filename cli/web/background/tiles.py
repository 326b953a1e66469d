"""Tiles of the map: the small pictures of its cells, drawn into one picture."""

import io
from collections.abc import Iterable
from functools import cache

from PIL import Image, ImageDraw

from indexes.maps.grid import CELLS

SIDE = 256
"""Of a tile in pixels; for screens of high resolution twice as many."""
GAP = 1 / 64
"""Free space around a picture, as a share of its cell."""
ROUND = 1 / 14
"""Radius of its corners, as a share of its cell."""
QUALITY = 82
ABSENT = (128, 128, 134)
"""The colour of a photo without a picture, on light and dark ground."""


def draw(pictures: Iterable[tuple[int, int, bytes | None]], side: int) -> bytes:
    """A WebP file, transparent where no picture is.

    pictures: column and row of their cells, and files that this program has made, or None for a
    photo that has none now.
    """
    tile = Image.new("RGBA", (side, side))
    cell = side // CELLS
    gap = max(round(GAP * cell), 1)
    for column, row, data in pictures:
        size = cell - 2 * gap
        tile.paste(_square(data, size), (column * cell + gap, row * cell + gap), _corners(size))
    out = io.BytesIO()
    tile.save(out, "WEBP", quality=QUALITY, method=1)
    return out.getvalue()


def _square(data: bytes | None, size: int) -> Image.Image:
    """The middle of a picture."""
    if data is None:
        return Image.new("RGB", (size, size), ABSENT)
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", (size, size))
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        return picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box)


@cache
def _corners(size: int) -> Image.Image:
    """A mask that rounds the corners of a square."""
    large = Image.new("L", (4 * size, 4 * size))
    box = (0, 0, 4 * size - 1, 4 * size - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, ROUND * 4 * size, fill=255)
    return large.resize((size, size), Image.Resampling.BOX)
