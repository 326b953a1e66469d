"""From any mode and colour space to sRGB."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

if TYPE_CHECKING:
    from PIL import ImageCms


def shrinkable(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized with averages: no palette, no single bits, 16 of
    them scaled to 8 and not clipped, and its transparency as a channel.
    """
    if image.mode.startswith("I;16"):
        return _scaled(image)
    keyed = "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
    if keyed or image.mode in ("PA", "La", "RGBa"):
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB from any mode that `shrinkable` leaves.

    Transparency lies over white, and an ICC profile is applied where it can be; a broken one is
    ignored.
    """
    image = _over_white(_eight_bits(image))
    if profile or image.mode == "LAB":
        from PIL import ImageCms

        try:
            done = ImageCms.applyTransform(image, _transform(profile, image.mode))
        # A profile is any bytes at all, and may be one of another mode.
        except Exception:
            done = None
        if done is not None:
            return done
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    # A TIFF may hold 12 bits, or have white as zero; Pillow gives its numbers as they are.
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))[0]
    values = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    return Image.fromarray(255 - values if white_is_zero else values)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "I":
        values = np.asarray(image, np.float64)
        # The mode does not say how many of its 32 bits the file had.
        top = next(top for top in (255, 65535, 2**31) if values.max(initial=0) <= top)
        return Image.fromarray((values * (255 / top)).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float64))
        low, high = float(values.min(initial=0)), float(values.max(initial=1))
        return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))
    return image


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode not in ("RGBA", "LA"):
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes | None, mode: str) -> "ImageCms.ImageCmsTransform":
    """Built once for all photos of a camera: it takes longer than its use."""
    from PIL import ImageCms

    source = (
        ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
    )
    target = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(source, target, mode, "RGB", intent)
