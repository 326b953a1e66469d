"""Filters: conditions on a photo's facts, for one record and for the columns of an index."""

import os
import posixpath
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.store import columns
from indexes.store.columns import Blocks, name_code
from indexes.store.records import Ids, Record, id_key, to_path, to_text
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.errors import Damaged, Unsuitable

EARTH_KM = 6371.0
"""Mean radius (IUGG)."""
SAME = {"jpg": "jpeg", "mpo": "jpeg", "heic": "heif", "hif": "heif", "tif": "tiff"}
"""Other names of a format: extensions, and Pillow's names (MPO is the JPEG of some phones)."""


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold; the default of each is no condition.

    A photo without the fact (no GPS, no time of capture) fails the condition.
    """

    under: tuple[str, ...] = ()
    """Absolute folders or files: the photo is in one of them."""
    not_under: tuple[str, ...] = ()
    """Absolute folders or files: the photo is in none of them; a copy elsewhere is admitted."""
    taken: tuple[str, str] | None = None
    """First and last day, month or year, such as `2019-08-03`, `2019-08` or `2019`, both included,
    in local time where the picture was taken. An empty one is open."""
    near: tuple[float, float, float] | None = None
    """Latitude and longitude of a point in degrees, and the radius in kilometres."""
    camera: str | None = None
    """Part of the camera's name; upper and lower case are equal."""
    format: str | None = None
    """A format or an extension, such as `jpeg` or `.heic`; upper and lower case are equal."""
    min_side: int = 0
    """Least length of the shorter side, in pixels."""
    first_id: int = 0
    """Least id: later photos have higher ones."""
    without: frozenset[int] = frozenset()
    """Ids of photos that are left out."""

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return self != Where()

    def lies_in(self, path: str) -> bool:
        """Whether an absolute path meets the conditions on folders."""
        return self.folder_test()(spelled(path))

    def folder_test(self) -> Callable[[str], bool]:
        """`lies_in` for many paths, which are `spelled`."""
        is_below, is_excluded, anywhere = below(self.under), below(self.not_under), not self.under
        return lambda path: (anywhere or is_below(path)) and not is_excluded(path)

    def admits(self, facts: Mapping[str, Any]) -> bool:
        """Whether a photo meets all conditions but those on ids; facts: a record's fields by name,
        with absolute paths. `admitted` is the same for a whole index.
        """
        return (
            min(facts["width"], facts["height"]) >= self.min_side
            and (self.format is None or format_name(self.format) in _formats(facts))
            and (self.camera is None or _contains(self.camera, facts.get("camera")))
            and (self.taken is None or _within(facts["taken"], *self.taken))
            and (self.near is None or _around(facts, *self.near))
            and any(map(self.lies_in, facts["paths"]))
        )


def admitted(txn: Txn, roots: Roots, where: Where) -> Ids:
    """The ids of the photos that meet all conditions, by the columns: uint64 (n,), ascending.
    Deleted photos are included as long as their records are stored. Raises Damaged, and Unsuitable
    for a time that is not one.
    """
    conditions = _conditions(txn, roots, where)
    parts = [np.empty(0, np.uint64)]
    try:
        for some in columns.blocks(txn):
            mask = np.ones(len(some.ids), bool)
            for condition in conditions:
                if mask.any():
                    mask &= condition(some, mask)
            parts.append(some.ids[mask])
    except (ValueError, IndexError, KeyError) as error:
        raise Damaged("the columns of the index make no sense", _REPAIR) from error
    return np.concatenate(parts)


Mask = NDArray[np.bool_]
Condition = Callable[[Blocks, Mask], Mask]
"""From some blocks, and which of their photos meet the conditions so far, to a mask of their
photos, bool (n,)."""
_REPAIR = "build them again from the records: mocosearch verify --repair"


def _conditions(txn: Txn, roots: Roots, where: Where) -> list[Condition]:
    """The conditions of `where`, each as in `Where.admits`; what costs more comes later."""
    conditions: list[Condition] = []
    if where.first_id > 0:
        conditions.append(lambda some, _: np.greater_equal(some.ids, where.first_id))
    if where.without:
        without = np.array(sorted(where.without), np.uint64)
        conditions.append(lambda some, _: np.isin(some.ids, without, invert=True))
    if where.min_side > 0:
        conditions.append(lambda some, _: np.greater_equal(some.plain("side"), where.min_side))
    if where.camera is not None:
        camera = cache(partial(_contains, where.camera))
        conditions.append(lambda some, _: _by_text(some, "camera", camera))
    if where.taken is not None:
        conditions.append(_taken_condition(*where.taken))
    if where.format is not None:
        conditions.append(_format_condition(format_name(where.format)))
    if where.under or where.not_under:
        conditions.append(_folder_condition(txn, roots, where))
    if where.near is not None:
        conditions.append(_near_condition(*where.near))
    return conditions


def _by_text(some: Blocks, column: str, matches: Callable[[Any], bool]) -> Mask:
    """Which entries of a coded column match; each distinct text is compared once."""
    texts, codes = some.coded(column)
    mask: Mask = np.array([matches(text) for text in texts], bool)[codes]
    return mask


def _format_condition(name: str) -> Condition:
    same = cache(lambda other: format_name(other) == name)

    def condition(some: Blocks, _: Mask) -> Mask:
        files = _by_text(some, "extension", same)
        mask: Mask = _by_text(some, "format", same) | some.with_any(files)
        return mask

    return condition


def _taken_condition(first: str, last: str) -> Condition:
    # In seconds like the column: numpy compares different units much more slowly.
    low = _moment(first).astype("M8[s]") if first else None
    end = (_moment(last) + 1).astype("M8[s]") if last else None

    def condition(some: Blocks, _: Mask) -> Mask:
        taken = some.plain("taken")
        mask: Mask = ~np.isnat(taken)
        if low is not None:
            mask &= taken >= low
        if end is not None:
            mask &= taken < end
        return mask

    return condition


def _moment(text: str) -> np.datetime64:
    try:
        return np.datetime64(text)
    except ValueError as error:
        raise Unsuitable(f"{text!r} is not a time", "write 2019, 2019-08 or 2019-08-03") from error


def _near_condition(latitude: float, longitude: float, km: float) -> Condition:
    # A point is at least as far away as its difference in latitude; the margin is for rounding.
    band = float(np.degrees(km / EARTH_KM)) * 1.001

    def condition(some: Blocks, mask: Mask) -> Mask:
        latitudes = some.plain("latitude")
        mask = mask & (np.abs(latitudes - latitude) <= band)
        near = np.flatnonzero(mask)
        if len(near):
            longitudes = some.plain("longitude")[near]
            mask[near] = kilometres(latitude, longitude, latitudes[near], longitudes) <= km
        return mask

    return condition


def _folder_condition(txn: Txn, roots: Roots, where: Where) -> Condition:
    prefixes = {str(number): os.path.join(root, "") for number, root in roots.places.items()}

    meets = where.folder_test()

    @cache
    def lies(folder: str) -> bool:
        # `where.lies_in(roots.path(folder))` in a tenth of the time.
        number, _, rest = folder.partition("/")
        return meets(spelled(prefixes[number] + to_path(rest) if rest else roots.path(folder)))

    # A condition may name a file: then the folder does not decide, and the record is read.
    names = [
        name_code(to_text(os.path.basename(path))) for path in (*where.under, *where.not_under)
    ]

    def condition(some: Blocks, _: Mask) -> Mask:
        mask = some.with_any(_by_text(some, "folder", lies))
        named = np.zeros(len(some.plain("name")), bool)
        for name in names:
            named |= some.plain("name") == name
        for at in set(some.photos[named].tolist()):
            record = Record.from_bytes(txn.get("images", id_key(int(some.ids[at]))) or b"")
            mask[at] = any(where.lies_in(roots.path(path)) for path in record.paths)
        return mask

    return condition


def format_name(name: str) -> str:
    """The name of a format, from one of its names or an extension."""
    plain = name.lower().lstrip(".")
    return SAME.get(plain, plain)


def _formats(facts: Mapping[str, Any]) -> set[str]:
    """The format of the content and those of the extensions: of a raw file, the JPEG preview is
    decoded.
    """
    extensions = (os.path.splitext(path)[1] for path in facts["paths"])
    return {format_name(facts["format"]), *map(format_name, extensions)}


def _contains(text: str, camera: str | None) -> bool:
    return camera is not None and text.casefold() in camera.casefold()


def _within(taken: str | None, first: str, last: str) -> bool:
    return taken is not None and first <= taken[: len(first)] and taken[: len(last)] <= last


@lru_cache(maxsize=32)
def below(folders: tuple[str, ...]) -> Callable[[str], bool]:
    """From an absolute path, `spelled`, to whether it is one of the folders or below one:
    `scan.is_within` for several folders.
    """
    exact = {os.path.normcase(spelled(folder)) for folder in folders}
    within = tuple(os.path.join(folder, "") for folder in exact)
    if os.path is posixpath:
        return lambda path: path.startswith(within) or path in exact

    def is_below(path: str) -> bool:
        path = os.path.normcase(path)
        return path in exact or path.startswith(within)

    return is_below


def spelled(path: str) -> str:
    """In one of the spellings (NFC) that macOS treats as equal."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _around(facts: Mapping[str, Any], latitude: float, longitude: float, km: float) -> bool:
    north, east = facts.get("latitude"), facts.get("longitude")
    if north is None or east is None:
        return False
    return bool(kilometres(latitude, longitude, north, east) <= km)


def kilometres(latitude: float, longitude: float, latitudes: Any, longitudes: Any) -> Any:
    """Great-circle distances in kilometres from one point to others, all in degrees; float64, in
    the shape of the others. The haversine formula is accurate for near points too.
    """
    a, b = np.radians(latitude), np.radians(latitudes)
    turn = np.radians(np.subtract(longitudes, longitude))
    half = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
    return 2 * EARTH_KM * np.arcsin(np.minimum(1.0, np.sqrt(half)))
