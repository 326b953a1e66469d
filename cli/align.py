"""Photos of one place, each laid onto the frame of the image that was searched for."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.gallery import Row

if TYPE_CHECKING:
    from PIL.Image import Image

    from indexes import Crop, Result

SIDE = 640
"""Longest side of the frame in pixels."""


def align(row: Row, crop: "Crop | None") -> Row:
    """The same row with the query's frame and warped photos in place of the files."""
    from indexes.parts.search import picture_of
    from indexes.parts.verification import sized

    assert row.image is not None
    frame = sized(picture_of(row.image, crop), SIDE, SIDE)
    results = [result for result in row.results if getattr(result, "placement", None)]
    pictures = [_warp(result, frame.size) for result in results]  # type: ignore[arg-type]
    return replace(row, image=_jpeg(frame), results=results, pictures=pictures)


def _warp(result: "Result", size: tuple[int, int]) -> bytes:
    """The part of a photo that the frame shows, black outside the photo; a JPEG, empty if the photo
    cannot be read.
    """
    from PIL import Image

    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode_image

    assert result.placement is not None
    try:
        photo = decode_image(Path(result.record.paths[0]).read_bytes(), 2 * SIDE)
    except (OSError, Unreadable):
        return b""
    a, b, c, d, e, f = result.placement
    across, down = photo.width, photo.height
    data = (
        *(a * across / size[0], b * across / size[1], c * across),
        *(d * down / size[0], e * down / size[1], f * down),
    )
    return _jpeg(photo.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC))


def _jpeg(picture: "Image") -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()
