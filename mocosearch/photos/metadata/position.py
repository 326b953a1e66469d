"""Where a photo was taken: from EXIF, or else from XMP, in all spellings that programs write."""

import math
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from PIL import ExifTags, Image

from mocosearch.photos.metadata.facts import text_of

_NEGATIVE = {"Latitude": ("S", "SOUTH"), "Longitude": ("W", "WEST")}
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?")
_WORD = re.compile(r"[A-Za-z]+")

Position = tuple[float, float]


def position_of(exif: Image.Exif, xmp: bytes | None) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees, both or neither.

    EXIF 2.32: GPS tags 1 to 4. XMP specification part 2, 2.5.1: `exif:GPSLatitude` and
    `exif:GPSLongitude`, such as `52,31.2N`.
    """
    for read in (partial(_from_exif, exif), partial(_from_xmp, xmp or b"")):
        try:
            position = read()
        # Pillow raises any exception on broken EXIF, and no photo is skipped for that.
        except Exception:
            continue
        if position is not None:
            return position
    return None, None


def _from_exif(exif: Image.Exif) -> Position | None:
    gps, tags = exif.get_ifd(ExifTags.IFD.GPSInfo), ExifTags.GPS
    return _checked(
        _degrees(gps.get(tags.GPSLatitude), gps.get(tags.GPSLatitudeRef), "Latitude"),
        _degrees(gps.get(tags.GPSLongitude), gps.get(tags.GPSLongitudeRef), "Longitude"),
    )


def _from_xmp(xmp: bytes) -> Position | None:
    if b"GPSLatitude" not in xmp:
        return None
    latitude, longitude = (
        _degrees(_field(xmp, f"GPS{axis}"), _field(xmp, f"GPS{axis}Ref"), axis)
        for axis in ("Latitude", "Longitude")
    )
    return _checked(latitude, longitude)


def _field(xmp: bytes, name: str) -> bytes | None:
    """A property of XMP, written as an attribute or as an element."""
    tag = b"exif:" + name.encode()
    pattern = rb"%s\s*=\s*[\"']([^\"'<]*)|<%s\s*>([^<]*)<" % (tag, tag)
    match = re.search(pattern, xmp)
    return None if match is None else match[1] or match[2]


def _checked(latitude: float | None, longitude: float | None) -> Position | None:
    if latitude is None or longitude is None:
        return None
    # A receiver without a fix writes two zeros.
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude or longitude)):
        return None
    return latitude, longitude


def _degrees(value: Any, ref: Any, axis: str) -> float | None:
    """Degrees, negative if the number or the reference says so: editors write signed degrees, and
    leave the reference out or at `N` and `E`.
    """
    words = {word.upper() for word in _WORD.findall(text_of(ref))}
    if isinstance(value, str | bytes):
        text = text_of(value)
        numbers = [float(number) for number in _NUMBER.findall(text)]
        words |= {word.upper() for word in _WORD.findall(text)}
        if any(abs(number) >= 60 for number in numbers[1:]):
            return None  # A decimal comma: the fraction is no number of minutes.
    else:
        parts = value if isinstance(value, Iterable) else (value,)
        numbers = [_number(part) for part in parts]
    if not 1 <= len(numbers) <= 3 or math.isnan(numbers[0]):
        return None
    # Minutes and seconds may be 0/0, which means unknown.
    known = [0.0 if math.isnan(number) else number for number in numbers]
    size = sum(abs(number) / 60**power for power, number in enumerate(known))
    negative = min(known) < 0 or not words.isdisjoint(_NEGATIVE[axis])
    return float(round(-size if negative else size, 7)) + 0.0


def _number(part: Any) -> float:
    """A part of EXIF's degrees; some programs write negative ones into unsigned fields."""
    numerator = getattr(part, "numerator", 0)
    if numerator >= 1 << 31:
        return float((numerator - (1 << 32)) / part.denominator)
    return float(part)
