"""Conversion from any mode and colour space to sRGB."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

if TYPE_CHECKING:
    from PIL import ImageCms


def to_resizable(image: Image.Image) -> Image.Image:
    """The picture in a mode whose pixels can be averaged: no palette, no 1-bit pixels, 16 bits
    scaled to 8, and transparency as a channel.
    """
    if image.mode.startswith("I;16"):
        return _to_8_bits(image)
    keyed = "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
    if keyed or image.mode in ("PA", "La", "RGBa"):
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB from any mode that `to_resizable` returns.

    Transparent pixels are blended with white. The ICC profile is applied if possible; a broken one
    is ignored.
    """
    image = _over_white(_integers_and_floats_to_grey(image))
    if profile or image.mode == "LAB":
        from PIL import ImageCms

        try:
            converted = ImageCms.applyTransform(image, _transform(profile, image.mode))
        # A profile may be damaged, or belong to another mode.
        except Exception:
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    # A TIFF may have 12 bits, or white as zero; Pillow returns its values unchanged.
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))[0]
    values = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    return Image.fromarray(255 - values if white_is_zero else values)


def _integers_and_floats_to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "I":
        values = np.asarray(image, np.float64)
        # The mode does not tell how many of its 32 bits the file had.
        top = next(top for top in (255, 65535, 2**31) if values.max(initial=0) <= top)
        return Image.fromarray((values * (255 / top)).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        # Infinite values become the largest that 32 bits hold, so that nothing overflows below.
        values = np.nan_to_num(np.asarray(image)).astype(np.float64)
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
    """Built once for all photos of a camera: building it takes longer than applying it."""
    from PIL import ImageCms

    source = (
        ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
    )
    target = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(source, target, mode, "RGB", intent)
