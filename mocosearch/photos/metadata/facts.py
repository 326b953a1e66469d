"""The metadata of a photo: when, where and with which camera it was taken."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from PIL import ExifTags, Image

T = TypeVar("T")

FIRST_YEAR, LAST_YEAR = 1826, 2099
"""Years of a possible capture: that of the oldest surviving photograph is the first. A camera with
a flat battery writes others. The limits are constants, because a date that depends on the clock of
the run would be lost where that clock is wrong."""


@dataclass(frozen=True)
class Facts:
    """What is stored of a photo apart from its pixels; None if the file does not say."""

    width: int
    """Pixels of the upright picture."""
    height: int
    """Pixels of the upright picture."""
    format: str
    taken: str | None = None
    """EXIF's time of capture, ISO 8601, with the offset from UTC if EXIF has one."""
    camera: str | None = None
    """Make and model; the make is not repeated."""
    latitude: float | None = None
    """Degrees north, -90 to 90."""
    longitude: float | None = None
    """Degrees east, -180 to 180."""
    truncated: bool = False
    """Whether the file ends too early, so that only part of the picture was decoded."""
    perceptual: str = ""
    """Hash of the upright picture, 16 hexadecimal digits (mocosearch.photos.perceptual)."""
    pixels: str = ""
    """Digest of the small pixels, 32 hexadecimal digits: equal for a copy with other metadata."""


def exif_of(image: Image.Image) -> Image.Exif:
    """The picture's EXIF; empty if it is broken, which leaves the pixels intact."""
    try:
        return image.getexif()
    except Exception:
        return Image.Exif()


def orientation_of(exif: Image.Exif) -> int | None:
    """The orientation, 1 to 8 (EXIF 2.32, tag 0x0112), or None if it is invalid."""
    return _or_none(_orientation, exif)


def taken_of(exif: Image.Exif) -> str | None:
    """The time of capture (EXIF 2.32, tags 0x9003 and 0x9011), or None if it is invalid."""
    return _or_none(_taken, exif)


def camera_of(exif: Image.Exif) -> str | None:
    """Make and model (EXIF 2.32, tags 0x010f and 0x0110), or None."""
    return _or_none(_camera, exif)


def _or_none(read: Callable[[Image.Exif], T | None], exif: Image.Exif) -> T | None:
    try:
        return read(exif)
    # Pillow raises any exception on broken EXIF, and no photo is skipped for that.
    except Exception:
        return None


def _orientation(exif: Image.Exif) -> int | None:
    orientation = exif.get(ExifTags.Base.Orientation)
    return orientation if orientation in range(1, 9) else None


def _taken(exif: Image.Exif) -> str | None:
    base, details = ExifTags.Base, exif.get_ifd(ExifTags.IFD.Exif)
    sources = (
        (details.get(base.DateTimeOriginal), details.get(base.OffsetTimeOriginal)),
        (details.get(base.DateTimeDigitized), details.get(base.OffsetTimeDigitized)),
        (exif.get(base.DateTime), details.get(base.OffsetTime)),
    )
    for time, offset in sources:
        moment = _moment(text_of(time))
        if moment is not None:
            return moment.replace(tzinfo=_zone(text_of(offset))).isoformat()
    return None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


def _zone(text: str) -> timezone | None:
    try:
        offset = datetime.strptime(text, "%z").utcoffset()
    except ValueError:
        return None
    # Time zones range from UTC-12 to UTC+14.
    if offset is None or not timedelta(hours=-12) <= offset <= timedelta(hours=14):
        return None
    return timezone(offset)


def _camera(exif: Image.Exif) -> str | None:
    make, model = text_of(exif.get(ExifTags.Base.Make)), text_of(exif.get(ExifTags.Base.Model))
    # Make "NIKON CORPORATION", model "NIKON D70".
    if model and model.casefold().split()[0] in make.casefold().split():
        return model
    return f"{make} {model}".strip() or None


def text_of(value: Any) -> str:
    """The text of a field without the zero bytes, line ends and spaces that cameras pad with."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:100]
