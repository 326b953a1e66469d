"""What is asked: from the words on the command line to one key."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from PIL import Image

    from indexes.search.segments import Keys
    from mocosearch.encoder import Encoder
    from mocosearch.photos.decode import Pixels

MINUS = 0.5
"""Share of what is not wanted that is taken away; Rocchio's method gives it less than what is."""
AT_ONCE = 32
NEARER = 4
"""Times as large a picture is looked at for the end of its borders."""


@dataclass(frozen=True)
class Part:
    """One picture, or folder of pictures, and how much of it is in the question."""

    name: str
    weight: float

    @classmethod
    def of(cls, word: str) -> "Part":
        """`cat.jpg`, or `cat.jpg:2` for twice its weight. Raises typer.BadParameter."""
        name, colon, number = word.rpartition(":")
        if not colon or not name or os.path.exists(word):
            return cls(word, 1.0)
        try:
            weight = float(number)
        except ValueError:
            return cls(word, 1.0)
        if not 0 < weight < float("inf"):
            raise typer.BadParameter(f"the weight of {word} must be a number above 0")
        return cls(name, weight)


@dataclass(frozen=True)
class Crop:
    """A region of an upright picture: left, top, width, height, in pixels or shares of it."""

    left: float
    top: float
    width: float
    height: float
    shares: bool

    @classmethod
    def of(cls, text: str) -> "Crop":
        """`40,0,200,120` in pixels, or `10%,0%,50%,50%`. Raises typer.BadParameter."""
        parts = text.replace(" ", "").split(",")
        percent = [part.endswith("%") for part in parts]
        try:
            left, top, width, height = (float(part.rstrip("%")) for part in parts)
        except ValueError:
            left = top = width = height = -1.0
        finite = all(map(math.isfinite, (left, top, width, height)))
        mixed = any(percent) != all(percent)
        if mixed or not finite or min(left, top) < 0 or not min(width, height) > 0:
            raise typer.BadParameter(f"{text!r}: write x,y,w,h in pixels, or 10%,0%,50%,50%")
        scale = 0.01 if all(percent) else 1.0
        return cls(left * scale, top * scale, width * scale, height * scale, all(percent))

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in a picture of this size. Raises typer.BadParameter
        outside it.
        """
        x, y = (width, height) if self.shares else (1, 1)
        left, top = round(self.left * x), round(self.top * y)
        right = min(width, round((self.left + self.width) * x))
        bottom = min(height, round((self.top + self.height) * y))
        if right <= left or bottom <= top:
            raise typer.BadParameter(f"--crop lies outside the {width} x {height} pixels")
        return left, top, right, bottom


@dataclass(frozen=True)
class Question:
    """The keys to ask with, float32 (n, d): one, or one for each orientation; where a picture
    has borders, as many more without them.
    """

    keys: "Keys"
    image: bytes
    """The first picture's file, for a page of results; empty for a folder."""
    skipped: dict[str, str]
    """Files of a folder that gave no key, with the reason."""


def ask(
    encoder: "Encoder",
    words: Sequence[str],
    minus: Sequence[str] = (),
    crop: Crop | None = None,
    turned: bool = False,
) -> Question:
    """The mean of the pictures by weight, less a share of those not wanted (Rocchio 1971).

    crop: the region of every wanted picture that counts. turned: a key for each of the 8
    orientations. What has borders of one colour, as a screenshot, is asked for whole and
    without them, unless a region is given. Raises Unreadable for a picture, NoPhotos for a
    folder without one.
    """
    import numpy as np

    skipped: dict[str, str] = {}
    first = b""

    def total(words: Sequence[str], crop: Crop | None, *, wanted: bool) -> "Keys":
        """Whole, and within borders: (2, ways, d), or (1, ways, d) where none has any."""
        nonlocal first
        inside = wanted and crop is None
        summed: Keys = np.zeros((2, 8 if turned else 1, encoder.dimension), np.float32)
        looks = 1
        for part in map(Part.of, words):
            if part.name != "-" and os.path.isdir(part.name):
                if crop is not None:
                    raise typer.BadParameter(f"--crop is for pictures, {part.name} is a folder")
                keys = _folder_key(encoder, part.name, turned, skipped)[None]
            else:
                data, pixels = read_image(part.name, encoder.side, crop)
                first = first or (data if wanted else b"")
                both = [pixels, *(_without_borders(data, pixels) if inside else ())]
                views = np.concatenate([_views(look, turned) for look in both])
                keys = encoder.encode(views).reshape(len(both), *summed.shape[1:])
            looks = max(looks, len(keys))
            summed += part.weight * keys
        return summed[:looks]

    keys = unit(total(words, crop, wanted=True))
    if minus:
        keys = unit(keys - MINUS / len(minus) * total(minus, None, wanted=False))
    return Question(keys.reshape(-1, encoder.dimension), first, skipped)


def unit(keys: "Keys") -> "Keys":
    """Keys (..., d), each brought to length 1; a key of nothing stays one."""
    import numpy as np

    made: Keys = keys / np.linalg.norm(keys, axis=-1, keepdims=True).clip(1e-12)
    return made


def read_image(image: str, side: int, crop: Crop | None = None) -> "tuple[bytes, Pixels]":
    """An image's bytes and pixels. Raises Unreadable, with the image's name."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode, read

    formats = "name a JPEG, PNG, WebP, HEIC or TIFF file"
    try:
        data = sys.stdin.buffer.read() if image == "-" else read(image)
        if not data:
            raise Unreadable("it is no picture")
        return data, decode(data, side).pixels if crop is None else _region(data, side, crop)
    except Unreadable as error:
        raise Unreadable(f"cannot read {image}: {error.what}", formats) from error


def _region(data: bytes, side: int, crop: Crop) -> "Pixels":
    from mocosearch.photos.decode import MAX_PIXELS, decode_image

    return _squashed(decode_image(data, MAX_PIXELS), crop, side)


def _squashed(picture: "Image.Image", crop: Crop, side: int) -> "Pixels":
    """A region of a picture, squashed to a square as whole pictures are."""
    import numpy as np
    from PIL import Image

    region = picture.crop(crop.box(picture.width, picture.height))
    return np.asarray(region.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _without_borders(data: bytes, pixels: "Pixels") -> "list[Pixels]":
    """The picture within its borders, squashed to as large a square; none without borders."""
    import numpy as np

    from mocosearch.photos.borders import picture_box
    from mocosearch.photos.decode import decode_image

    if picture_box(pixels) is None:
        return []
    # Seen from nearer, where it ends is known to the pixel.
    picture = decode_image(data, NEARER * len(pixels))
    box = picture_box(np.asarray(picture))
    return [] if box is None else [_squashed(picture, Crop(*box, shares=True), len(pixels))]


def _views(pixels: "Pixels", turned: bool) -> "Pixels":
    """(1, side, side, 3), or the 8 orientations of a square."""
    if not turned:
        return pixels[None]
    import numpy as np

    from mocosearch.photos.perceptual import orientations

    return np.stack(orientations(pixels))


def _folder_key(encoder: "Encoder", folder: str, turned: bool, skipped: dict[str, str]) -> "Keys":
    import numpy as np

    from mocosearch.errors import NoPhotos

    count = 0
    total: Keys = np.zeros((8 if turned else 1, encoder.dimension), np.float32)
    for pixels in folder_pixels(folder, encoder.side, skipped.__setitem__):
        keys = encoder.encode(np.concatenate([_views(one, turned) for one in pixels]))
        total += keys.reshape(len(pixels), len(total), -1).sum(0)
        count += len(pixels)
    if not count:
        raise NoPhotos(
            f"no pictures that can be read below {folder}", "name a picture, or a folder of some"
        )
    return unit(total)


def folder_pixels(
    folder: str, side: int, skip: Callable[[str, str], None]
) -> "Iterator[list[Pixels]]":
    """All pictures below a folder, some at a time; `skip` hears of the others."""
    from mocosearch.photos import Photo, read_photos, scan
    from mocosearch.photos.scan import roots_of

    batch: list[Pixels] = []
    for found, outcome in read_photos(list(scan(roots_of([folder]))), side):
        if isinstance(outcome, Photo):
            batch.append(outcome.picture.pixels)
        elif outcome is not None:
            skip(found.path, outcome)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
