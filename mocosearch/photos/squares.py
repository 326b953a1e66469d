"""The squares that a query encodes: a whole picture, without its borders, or a region of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mocosearch.errors import Unsuitable
from mocosearch.photos.borders import picture_box
from mocosearch.photos.decode import MAX_PIXELS, Pixels, decode, decode_image

BORDER_SCALE = 4
"""The size, in sides of the encoder's square, at which the edges of borders are measured."""


@dataclass(frozen=True)
class Crop:
    """A region of an upright picture. Raises Unsuitable for an empty one, or one that begins left
    of the picture or above it.

    relative: the numbers are shares of the picture's width and height, not pixels.
    """

    left: float
    top: float
    width: float
    height: float
    relative: bool = False

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (self.left, self.top, self.width, self.height)))
        if not finite or min(self.left, self.top) < 0 or min(self.width, self.height) <= 0:
            raise Unsuitable("a crop needs left and top of at least 0, width and height above 0")

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a picture of this size, in pixels. Raises Unsuitable if
        the region lies outside.
        """
        x, y = (width, height) if self.relative else (1, 1)
        left, top = round(self.left * x), round(self.top * y)
        right = min(width, round((self.left + self.width) * x))
        bottom = min(height, round((self.top + self.height) * y))
        if right <= left or bottom <= top:
            raise Unsuitable(f"the crop lies outside the {width} x {height} pixels of the picture")
        return left, top, right, bottom

    def cut(self, picture: Image.Image) -> Image.Image:
        """The region of an upright picture. Raises Unsuitable if it lies outside."""
        return picture.crop(self.box(picture.width, picture.height))


@dataclass(frozen=True)
class Squares:
    """A picture that `squares` has decoded; `digest` is the file's, hexadecimal."""

    pixels: Sequence[Pixels]
    digest: str


def squares(data: bytes, side: int, crop: Crop | None, borders: bool) -> list[Pixels]:
    """The pixels of a picture file, uint8 (side, side, 3), or of a region of it, and with `borders`
    those of the picture inside its borders if it has any. Raises Unreadable, and Unsuitable for a
    region outside the picture.
    """
    if crop is not None:
        return [_region(decode_image(data, MAX_PIXELS), crop, side)]
    pixels = decode(data, side).pixels
    return [pixels, *(_inside_borders(data, pixels) if borders else ())]


def _region(picture: Image.Image, crop: Crop, side: int) -> Pixels:
    """A region of a picture, squashed to a square as whole pictures are."""
    region = crop.cut(picture)
    return np.asarray(region.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _inside_borders(data: bytes, pixels: Pixels) -> list[Pixels]:
    """The picture inside its borders, squashed to as large a square; none without borders."""
    if picture_box(pixels) is None:
        return []
    # The edge must be exact: a line of the border changes the key.
    picture = decode_image(data, BORDER_SCALE * len(pixels))
    box = picture_box(np.asarray(picture))
    return [] if box is None else [_region(picture, Crop(*box, relative=True), len(pixels))]
