"""A few photos that stand for many, and the photos that are like no other."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from indexes.search.answer import existing_first
from indexes.search.filters import Where, format_name
from indexes.search.nearest import Match, record_of
from indexes.search.view import View
from indexes.store.records import Keys, Record
from mocosearch.errors import Unsuitable

SLACK = 0.05
"""Photos whose distance is at least the largest times 1 - SLACK are equally good, and their quality
decides."""
CANDIDATES = 100
"""Most photos whose quality is compared for one pick: their records are read."""
NEIGHBOURS = 3
"""A photo is odd if it differs from its third most similar one: two copies do not make it usual."""
MEMBERS, BATCH = 2048, 256
"""Photos of one neighbourhood that each of its photos is compared with first, and photos that are
then compared with all."""
AT_ONCE = 4096
"""Keys that are converted or compared at once."""
EXACT_BYTES = 1 << 29
"""Keys up to this size are converted to float32 once; more stay fp16, and each pass converts."""
MOST_SIDE, MOST_BYTES, USUAL_BYTES = 2000, 0.5, 0.25
"""Where a longer side and more bytes per pixel no longer count, and the bytes per pixel that are
assumed for formats that compress without loss, which do not tell sharp photos from others."""
BYTES = {"jpeg": 1.0, "webp": 1.5, "heif": 2.0, "avif": 2.5}
"""Bytes of a JPEG file of the same quality, per byte of a file of this format, roughly."""

Rows = NDArray[np.int64]
AnyKeys = NDArray[np.float16] | Keys


@dataclass(frozen=True)
class Pick(Match):
    """A photo that was picked.

    score: its highest cosine with the photos picked before it, 0 for the first; for an odd photo,
    the cosine with the third most similar photo. photos: how many photos it stands for, itself
    included: those more similar to it than to the other picks; 1 for an odd photo. copies: further
    files of the same content. missing: no file of the photo exists now.
    """

    photos: int
    copies: int
    missing: bool


def pick(snapshot: View, count: int, where: Where, odd: bool) -> list[Pick]:
    """The picks among the photos that `where` admits: see `Index.pick`."""
    if count < 1:
        raise Unsuitable(f"cannot pick {count} photos", "the number must be at least 1")
    ids = snapshot.among(where)
    if not len(ids):
        return []
    keys = _read_keys(snapshot, ids)
    if odd:
        rows, scores = odd_rows(keys, count)
        photos = np.ones(len(rows), np.int64)
    else:
        quality = cache(lambda row: quality_of(snapshot.record(int(ids[row]))))
        rows, scores, photos = centres(
            keys, count, lambda some: np.array([quality(row) for row in some.tolist()], np.float32)
        )
    values = zip(ids[rows].tolist(), scores.tolist(), photos.tolist(), strict=True)
    return [_pick(snapshot, where, *value) for value in values]


def _pick(snapshot: View, where: Where, id: int, score: float, photos: int) -> Pick:
    record = record_of(snapshot, id, where)
    record = replace(record, paths=existing_first(record.paths))
    missing = not any(map(os.path.exists, record.paths[:1]))
    return Pick(id, score, record, photos, len(record.paths) - 1, missing)


def _read_keys(snapshot: View, ids: NDArray[np.uint64]) -> AnyKeys:
    parts = snapshot.read_keys(ids)
    first = next(parts)
    is_small = 4 * len(ids) * first.shape[1] <= EXACT_BYTES
    keys = np.empty((len(ids), first.shape[1]), np.float32 if is_small else np.float16)
    keys[: len(first)] = first
    end = len(first)
    for part in parts:
        keys[end : end + len(part)] = part
        end += len(part)
    return keys


def quality_of(record: Record) -> float:
    """How large and sharp a photo is, from what is stored: its shorter side in pixels times the
    bytes per pixel of its file, both up to a limit; 0 for a truncated file. A blurred picture
    compresses to fewer bytes.
    """
    pixels = record.width * record.height
    if record.truncated or not pixels:
        return 0.0
    name = "jpeg" if record.format.lower() == "mpo" else format_name(record.format)
    per_pixel = USUAL_BYTES
    if name in BYTES:
        per_pixel = min(BYTES[name] * record.size / pixels, MOST_BYTES)
    return min(record.width, record.height, MOST_SIDE) * per_pixel


def centres(
    keys: AnyKeys, count: int, quality: Callable[[Rows], Keys]
) -> tuple[Rows, Keys, NDArray[np.int64]]:
    """Rows of keys (n, d) that differ as much as possible, at most count: each is the farthest from
    those before it, or nearly so and of the best quality.

    This is the greedy k-centre method (Gonzalez, "Clustering to minimize the maximum intercluster
    distance", 1985). The first row is the most typical one, nearest to the mean. The rows for one
    count are the first of those for a larger one. quality: for some rows, higher is better.
    Returns the rows, (k,), the highest cosine of each with those before it, and how many rows are
    nearest to each.
    """
    mean: Keys = np.sum([part.sum(0) for part in _parts(keys)], axis=0, dtype=np.float32)
    distances = 1 + _cosines(keys, mean / (np.linalg.norm(mean) or 1))
    free = np.ones(len(keys), bool)
    nearest = np.zeros(len(keys), np.int64)
    rows: list[int] = []
    scores = []
    for number in range(min(count, len(keys))):
        row = _farthest(distances, free, quality)
        scores.append(1 - distances[row] if rows else 0.0)
        from_row = 1 - _cosines(keys, keys[row].astype(np.float32))
        closer = from_row < distances if rows else free.copy()
        nearest[closer], distances[closer] = number, from_row[closer]
        nearest[row], free[row] = number, False
        rows.append(row)
    counts = np.bincount(nearest, minlength=len(rows))
    return np.array(rows), np.array(scores, np.float32), counts


def _farthest(distances: Keys, free: NDArray[np.bool_], quality: Callable[[Rows], Keys]) -> int:
    """The free row with the best quality among those of nearly the largest distance."""
    allowed = np.where(free, distances, -np.inf)
    most = allowed.max()
    near = np.flatnonzero(allowed >= most - SLACK * abs(most))
    if len(near) > CANDIDATES:
        near = np.sort(near[np.argsort(-allowed[near], kind="stable")[:CANDIDATES]])
    return int(near[np.argmax(quality(near))])


def odd_rows(keys: AnyKeys, count: int) -> tuple[Rows, Keys]:
    """The rows of keys (n, d) that are least like the others, at most count, the oddest first, and
    the cosine of each with the NEIGHBOURS-th most similar other key, (k,); -1 for a single key.

    The distance to the k-th neighbour is the measure of Ramaswamy et al., "Efficient algorithms for
    mining outliers from large data sets", 2000. With k above 1, a photo stays odd if it has a copy.
    Rows are compared with all others in the order of lower bounds of these cosines, until no
    further row can be odder.
    """
    # Each key's highest cosine is that with itself.
    places = min(NEIGHBOURS + 1, len(keys))
    if places == 1:
        return np.zeros(1, np.int64), np.full(1, -1, np.float32)
    bounds = _bounds(keys, places)
    order = np.argsort(bounds, kind="stable")
    scores = np.full(len(keys), np.inf, np.float32)
    rows: Rows = np.empty(0, np.int64)
    for start in range(0, len(keys), BATCH):
        limit = float(scores[rows[-1]]) if len(rows) == count else math.inf
        batch, compared = order[start : start + BATCH], order[: start + BATCH]
        # The margins are for rounding.
        if bounds[batch[0]] > limit + 1e-5:
            break
        scores[batch] = _scores(keys, batch, places, limit + 1e-5)
        rows = compared[np.lexsort((compared, scores[compared]))][:count]
    return rows, scores[rows]


def _scores(keys: AnyKeys, rows: Rows, places: int, limit: float) -> Keys:
    """The places-th highest cosine of each of some rows (m,) with all keys, (m,); a lower bound
    above the limit where it is above it.
    """
    queries = keys[rows].astype(np.float32)
    best = np.full((len(rows), places), -np.inf, np.float32)
    for part in _parts(keys):
        open_rows = np.flatnonzero(best.min(1) <= limit)
        cosines = np.concatenate([best[open_rows], queries[open_rows] @ part.T], 1)
        best[open_rows] = _highest(cosines, places)
    lowest: Keys = best.min(1)
    return lowest


def _bounds(keys: AnyKeys, places: int) -> Keys:
    """Lower bounds of each key's places-th highest cosine with all keys, (n,): the cosines with
    keys of the same neighbourhood, those that are nearest to the same of about sqrt(n) keys. Two
    divisions into neighbourhoods have different borders.
    """
    bounds = np.full(len(keys), -1, np.float32)
    step = math.isqrt(len(keys))
    for first in {0, step // 2}:
        centre_keys = keys[first::step].astype(np.float32)
        near = np.concatenate([(part @ centre_keys.T).argmax(1) for part in _parts(keys)])
        order = np.argsort(near, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(near[order])) + 1):
            if len(members) < places:
                continue
            some = keys[members[:MEMBERS]].astype(np.float32)
            for at in range(0, len(members), AT_ONCE):
                part = members[at : at + AT_ONCE]
                cosines = keys[part].astype(np.float32) @ some.T
                bounds[part] = np.maximum(bounds[part], _highest(cosines, places).min(1))
    return bounds


def _highest(cosines: Keys, places: int) -> Keys:
    """The highest values of each row (m, n), (m, places), in any order."""
    return np.partition(cosines, -places, axis=1)[:, -places:]


def _cosines(keys: AnyKeys, key: Keys) -> Keys:
    """The inner products of keys (n, d) with one, (n,)."""
    return np.concatenate([part @ key for part in _parts(keys)])


def _parts(keys: AnyKeys) -> Iterator[Keys]:
    """The keys as float32, AT_ONCE rows each."""
    for at in range(0, len(keys), AT_ONCE):
        yield keys[at : at + AT_ONCE].astype(np.float32, copy=False)
