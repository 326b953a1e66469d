"""Camera RAW, read with LibRaw: the camera's own preview, or the sensor data if it has none.

Needs rawpy, which the extra `raw` installs.
"""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mocosearch.errors import Unreadable
from mocosearch.photos.metadata.facts import exif_of, orientation_of
from mocosearch.photos.plugins import open_image

_ORIENTATIONS = {3: 3, 5: 8, 6: 6}
"""EXIF's orientation for LibRaw's `flip`."""


@dataclass(frozen=True)
class Raw:
    """`image` as stored, with its EXIF orientation 1 to 8; `width` and `height` of the whole photo
    as stored; `exif` as far as it can be read.
    """

    image: Image.Image
    orientation: int
    width: int
    height: int
    exif: Image.Exif


def open_raw(data: bytes, side: int) -> Raw:
    """A RAW file's preview if it can be decoded and each side has at least `side` pixels; else the
    photo itself.

    Raises Unreadable if rawpy is not installed, and what LibRaw raises for a damaged file.
    """
    try:
        import rawpy
    except ImportError as error:
        raise Unreadable("camera RAW; to read it: pip install 'mocosearch[raw]'") from error

    with rawpy.imread(io.BytesIO(data)) as raw:
        sizes = raw.sizes
        orientation, exif = _ORIENTATIONS.get(sizes.flip, 1), _exif(data)
        image = _preview(rawpy, raw, side)
        if image is None:
            # user_flip=0: `decode` applies the orientation.
            half = min(sizes.width, sizes.height) >= 2 * side
            pixels = raw.postprocess(half_size=half, use_camera_wb=True, user_flip=0)
            image = Image.fromarray(pixels)
        else:
            # A preview has its own EXIF, and its orientation may differ from the sensor's.
            orientation = orientation_of(exif_of(image)) or orientation
        return Raw(image, orientation, sizes.width, sizes.height, exif or exif_of(image))


def _preview(rawpy: Any, raw: Any, side: int) -> Image.Image | None:
    try:
        thumbnail = raw.extract_thumb()
        image: Image.Image
        if thumbnail.format == rawpy.ThumbFormat.JPEG:
            image = open_image(thumbnail.data, "JPEG")
        else:
            image = Image.fromarray(thumbnail.data)
        if min(image.size) < side:
            return None
        image.draft("RGB", (side, side))
        image.load()
    # The sensor data is read instead.
    except Exception:
        return None
    return image


def _exif(data: bytes) -> Image.Exif:
    """The EXIF of the RAW formats that are TIFFs; empty for the others and if it is broken."""
    exif = Image.Exif()
    try:
        exif.load(data)
    except Exception:
        return Image.Exif()
    return exif
