"""Which photos a question is asked among: conditions on what is known of a photo."""

import math
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mocosearch.photos.scan import is_within

EARTH_KM = 6371.0
"""Mean radius (IUGG)."""
_SAME = {"jpg": "jpeg", "mpo": "jpeg", "heic": "heif", "hif": "heif", "tif": "tiff"}
"""Names of one format: extensions, and what Pillow calls it (MPO is a phone's JPEG)."""


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold; a default asks nothing.

    A photo of which the fact is not known (no GPS, no time of capture) fails the condition.
    """

    under: tuple[str, ...] = ()
    """Absolute folders, in any of which the photo lies."""
    not_under: tuple[str, ...] = ()
    """Absolute folders, in none of which it lies; a copy elsewhere is admitted."""
    taken: tuple[str, str] | None = None
    """First and last day, month or year, as beginnings of ISO 8601, both included; local time
    where the picture was taken. An empty one is open."""
    near: tuple[float, float, float] | None = None
    """Latitude and longitude in degrees, and kilometres around that point."""
    camera: str | None = None
    """Part of the camera's name, in any case."""
    format: str | None = None
    """`jpeg`, `heic`, `png`: a format or its extension, in any case."""
    min_side: int = 0
    """Pixels that the shorter side has at least."""

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return self != Where()

    def lies_in(self, path: str) -> bool:
        """Whether a path lies where the folders say."""
        return (not self.under or _in_any(path, self.under)) and not _in_any(path, self.not_under)

    def admits(self, facts: Mapping[str, Any]) -> bool:
        """Whether a photo meets all conditions; `facts` are a record's fields by name."""
        return (
            min(facts["width"], facts["height"]) >= self.min_side
            and (self.format is None or _format(self.format) in _formats(facts))
            and (self.camera is None or _part(self.camera, facts.get("camera")))
            and (self.taken is None or _within(facts["taken"], *self.taken))
            and (self.near is None or _around(facts, *self.near))
            and any(map(self.lies_in, facts["paths"]))
        )


def _format(name: str) -> str:
    plain = name.lower().lstrip(".")
    return _SAME.get(plain, plain)


def _formats(facts: Mapping[str, Any]) -> set[str]:
    """What a photo is, and what its names say: a raw file is read by its JPEG preview."""
    ends = (os.path.splitext(path)[1] for path in facts["paths"])
    return {_format(facts["format"]), *map(_format, ends)}


def _part(wanted: str, camera: str | None) -> bool:
    return camera is not None and wanted.casefold() in camera.casefold()


def _within(taken: str | None, first: str, last: str) -> bool:
    return taken is not None and first <= taken[: len(first)] and taken[: len(last)] <= last


def _in_any(path: str, folders: tuple[str, ...]) -> bool:
    if not folders:
        return False
    whole = _spelled(os.path.abspath(path))
    return any(is_within(whole, _spelled(folder)) for folder in folders)


def _spelled(path: str) -> str:
    """One of the spellings that a Mac takes for one name."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _around(facts: Mapping[str, Any], latitude: float, longitude: float, km: float) -> bool:
    north, east = facts.get("latitude"), facts.get("longitude")
    if north is None or east is None:
        return False
    return kilometres(latitude, longitude, north, east) <= km


def kilometres(latitude: float, longitude: float, latitude2: float, longitude2: float) -> float:
    """Great-circle distance of two points in degrees (haversine, good for near points too)."""
    a, b = math.radians(latitude), math.radians(latitude2)
    turn = math.radians(longitude2 - longitude)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(turn / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
