"""Decode a file that ends too early as far as it goes.

Pillow has a switch for this, `ImageFile.LOAD_TRUNCATED_IMAGES`. It applies to the whole process:
while one thread has it on, the others accept truncated files as complete. So it is not used.
Pillow keeps the rows that it decoded before it raises its error, and these are used here.
"""

import numpy as np
from PIL import Image, ImageFile

from mocosearch.errors import Unreadable
from mocosearch.photos.metadata.facts import exif_of, orientation_of

LEAST_SHARE = 0.5
"""Share of its rows that a truncated picture must have; with fewer, the file is skipped."""
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def with_end(data: bytes) -> bytes:
    """The file with the end marker that a truncated JPEG lacks: libjpeg returns nothing of a
    progressive JPEG before the marker, and fills missing rows with grey after it.
    """
    return data + _JPEG_END if data.startswith(_JPEG_START) else data


def load_rows(image: Image.Image, error: Exception) -> None:
    """Decode the rows that a truncated file has; the others stay empty.

    image: just opened, of a file that failed to decode with `error`. Raises `error` if there are
    no rows, and Unreadable if they are fewer than LEAST_SHARE.
    """
    order = _rows_from_the_last(image)
    try:
        _load(image)
    except Exception:
        raise error from None
    share = 1 - _empty_rows(image, order) / image.height
    if not share:
        raise error
    if share < LEAST_SHARE:
        raise Unreadable(f"truncated: only {share:.0%} of the picture can be decoded") from error


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except Exception:
        if isinstance(image, ImageFile.ImageFile) and image.tile:
            image.tile = []
            image.load_end()
        # Without tiles this decodes nothing, and fails if no pixels were ever stored.
        image.load()


def _rows_from_the_last(image: Image.Image) -> slice | None:
    """The order of rows, beginning with the last one in the file; None if they are interlaced.

    To be called before the image is loaded, because Pillow then drops what it knows of the file.
    """
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ()
    if image.info.get("interlace") or (image.format == "GIF" and args and args[1]):
        return None
    if image.format == "BMP" and args:
        bottom_up = args[-1] == -1
    else:
        bottom_up = image.format == "TIFF" and orientation_of(exif_of(image)) in (3, 4)
    return slice(None, None, 1 if bottom_up else -1)


def _empty_rows(image: Image.Image, order: slice | None) -> int:
    """The number of missing rows, recognised by their value: libjpeg's mid-grey, which is
    inverted in CMYK, or Pillow's zeros.
    """
    rows = np.asarray(image)
    empty_value = rows[-1, 0] if image.format in ("JPEG", "MPO") else 0
    if not np.isin(empty_value, (0, 127, 128)).all():
        return 0
    empty = (rows == empty_value).reshape(len(rows), -1).all(axis=1)
    # Only rows after the last decoded one are missing: rows of that value are also in pictures.
    return int(empty.sum() if order is None or empty.all() else empty[order].argmin())
