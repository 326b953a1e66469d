"""Alterations of a photo as they happen when it is shared."""

from collections.abc import Callable, Sequence

from PIL import ImageEnhance, ImageFilter
from PIL.Image import Image


def crop(picture: Image) -> Image:
    """The part from a fifth to four fifths of the width, and from a fifth of the height down."""
    w, h = picture.size
    return picture.crop((w // 5, h // 5, max(w * 4 // 5, w // 5 + 1), max(h, h // 5 + 1)))


def colours(picture: Image) -> Image:
    """Saturation 0.3, brightness 1.3."""
    faded = ImageEnhance.Color(picture).enhance(0.3)
    return ImageEnhance.Brightness(faded).enhance(1.3)


def blur(picture: Image) -> Image:
    """Gaussian blur with a radius of a sixtieth of the longer side."""
    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 60))


ALTERATIONS: dict[str, Callable[[Image], Image]] = {
    "crop": crop,
    "colours": colours,
    "blur": blur,
}


def alter(pictures: Sequence[Image]) -> dict[str, list[Image]]:
    """All pictures in each alteration."""
    return {name: [change(picture) for picture in pictures] for name, change in ALTERATIONS.items()}
