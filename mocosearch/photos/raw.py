"""Camera RAW, by LibRaw: the camera's own preview, or the sensor's pixels where there is none.

Needs rawpy, which the extra `raw` brings.
"""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mocosearch.errors import Unreadable
from mocosearch.photos.facts import exif_of, turn_of

_TURNS = {3: 3, 5: 8, 6: 6}
"""EXIF's orientation for LibRaw's `flip`."""


@dataclass(frozen=True)
class Raw:
    """`image` as it is stored, to be turned by the EXIF orientation `turn`; `width` and
    `height` of the whole photo as stored; `exif` as far as it can be read.
    """

    image: Image.Image
    turn: int
    width: int
    height: int
    exif: Image.Exif


def open_raw(data: bytes, side: int) -> Raw:
    """A RAW file's preview, if it can be decoded and both its sides have `side` pixels; else the
    photo itself.

    Raises Unreadable where rawpy is not installed, and what LibRaw raises for a broken file.
    """
    try:
        import rawpy
    except ImportError as error:
        raise Unreadable("camera RAW; to read it: pip install 'mocosearch[raw]'") from error

    with rawpy.imread(io.BytesIO(data)) as raw:
        sizes = raw.sizes
        turn, exif = _TURNS.get(sizes.flip, 1), _exif(data)
        image = _preview(rawpy, raw, side)
        if image is None:
            # user_flip=0: everything is turned in one place, later.
            small = min(sizes.width, sizes.height) >= 2 * side
            pixels = raw.postprocess(half_size=small, use_camera_wb=True, user_flip=0)
            image = Image.fromarray(pixels)
        else:
            # A preview may lie otherwise than the sensor, and says so itself.
            turn = turn_of(exif_of(image)) or turn
        return Raw(image, turn, sizes.width, sizes.height, exif or exif_of(image))


def _preview(rawpy: Any, raw: Any, side: int) -> Image.Image | None:
    try:
        thumbnail = raw.extract_thumb()
        if thumbnail.format == rawpy.ThumbFormat.JPEG:
            image: Image.Image = Image.open(io.BytesIO(thumbnail.data), formats=("JPEG",))
        else:
            image = Image.fromarray(thumbnail.data)
        if min(image.size) < side:
            return None
        image.draft("RGB", (side, side))
        image.load()
    # Whatever ails it, the sensor's pixels are there.
    except Exception:
        return None
    return image


def _exif(data: bytes) -> Image.Exif:
    """Of the RAW formats that are TIFFs; of the others nothing."""
    exif = Image.Exif()
    try:
        exif.load(data)
    # Whatever it is, the photo goes without.
    except Exception:
        return Image.Exif()
    return exif
