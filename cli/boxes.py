"""The box around a part, drawn into a small copy of its photo."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from indexes import Result
    from indexes.pick import Pick

Box = tuple[float, float, float, float]
"""Left, top, right and bottom as shares of the photo's sides."""
COLOUR = (255, 196, 0)
"""Seen on most photos, with dark lines on both sides."""


def box_of(result: "Result | Pick") -> Box | None:
    """Where the query is in a photo; None where that is not known."""
    region, record = getattr(result, "region", None), result.record
    if region is None or not (record.width and record.height):
        return None
    right, bottom = region.x + region.w, region.y + region.h
    width, height = record.width, record.height
    return region.x / width, region.y / height, right / width, bottom / height


def draw_box(picture: "Image", box: Box | None) -> None:
    """Draw a box into a picture."""
    if box is None:
        return
    from PIL import ImageDraw

    width, height = picture.size
    edges = [
        round(share * (side - 1)) for share, side in zip(box, (width, height) * 2, strict=True)
    ]
    line = max(1, round(max(picture.size) / 100))
    draw = ImageDraw.Draw(picture)
    outer = [edges[0] - line, edges[1] - line, edges[2] + line, edges[3] + line]
    draw.rectangle(outer, outline=(0, 0, 0), width=3 * line)
    draw.rectangle(edges, outline=COLOUR, width=line)
