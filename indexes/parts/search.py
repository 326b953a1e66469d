"""Photos of which a picture is a part: found by the keys of regions, verified by local features."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from indexes.parts.verification import (
    CLEAR,
    FEATURES,
    SIDE,
    SURE,
    WINDOW,
    Agreement,
    Box,
    Frame,
    Verifier,
)
from indexes.search.answer import Answer, Region, Result, result_of
from indexes.search.filters import Where
from indexes.search.fold import Comparison, fold_copies
from indexes.search.inputs import PathLike
from indexes.search.nearest import Match, record_of
from indexes.search.question import data_of, file_errors
from indexes.search.snapshot import Snapshot
from indexes.store.records import Ids, Keys, Record
from mocosearch.encoder.regions import REGIONS, Regions
from mocosearch.errors import Unreadable, Unsuitable
from mocosearch.photos.borders import picture_box
from mocosearch.photos.decode import MAX_PIXELS, decode_image, read
from mocosearch.photos.squares import Crop

VERIFIED = 200
"""Photos that are verified at most: half of the crops of 5% have their photo among the first
hundred by their regions, and more than half among these."""
FIRST = 30
"""Photos that are compared if none is surely the query's: another photo of the same thing may come
before it. With 10, and SURE of .15, crops of 30% of products find their photo first .70 of the
time, and .93 with these (docs/benchmarks.md)."""
WHOLE = 20
"""Photos that are compared whole, the first ones; of the others only a window around the region
that is nearest."""
AROUND = 2.0
"""Side of the window as a multiple of the region's."""
ROWS = 400
"""Nearest regions to each view of the query; a photo may have several among them."""
LARGEST = 1024
"""Longest side at which a query is decoded, unless it is cropped."""

Decode = Callable[[str, int], Image.Image]
"""The upright picture of a file, its longest side about as many pixels. Raises Unreadable."""


@dataclass(frozen=True)
class Candidate:
    """A photo by its best region.

    score: cosine of query and region, as far as its code tells. region: its box as shares of the
    photo's sides.
    """

    id: int
    score: float
    record: Record
    region: Box


def picture_of(image: PathLike | bytes, crop: Crop | None) -> Image.Image:
    """The upright picture of a file that is searched for: a region of it, or all inside its borders
    of one colour. Raises NotFound, Unreadable, and Unsuitable for a region outside the picture.
    """
    return trimmed(image, crop)[0]


def trimmed(image: PathLike | bytes, crop: Crop | None) -> tuple[Image.Image, Frame | None]:
    """As `picture_of`, and what was trimmed from it."""
    with file_errors(image):
        data = data_of(image)
        if crop is not None:
            return crop.cut(decode_image(data, MAX_PIXELS)), None
        picture = decode_image(data, LARGEST)
    box = picture_box(np.asarray(picture))
    if box is None:
        return picture, None
    return Crop(*box, relative=True).cut(picture), Frame(picture, box)


def decode_file(path: str, side: int) -> Image.Image:
    """A file's picture, decoded in this process: see `Decode`."""
    return decode_image(read(path) or b"", side)


def check(snapshot: Snapshot) -> None:
    """Raises Unsuitable for an index without keys of regions."""
    if not snapshot.regions:
        raise Unsuitable(
            "this index has no keys of regions", "add them: mocosearch index --parts --index NAME"
        )


def candidates(
    snapshot: Snapshot, regions: Regions, picture: Image.Image, where: Where | None
) -> list[Candidate]:
    """The photos with the regions nearest to a picture at any scale, mirrored or not, best first,
    at most VERIFIED. Raises Damaged, Unsuitable.
    """
    views = regions.query(picture).astype(np.float32)
    only, deleted = snapshot.among(where) if where else None, snapshot.deleted()
    nearest: list[tuple[Keys, Ids, NDArray[np.int64]]] = []
    for segment in snapshot.regions:
        scores, rows = segment.search_rows(views, ROWS, segment.select(deleted, only))
        ids = np.where(rows >= 0, segment.ids[rows // segment.rows], 0)
        nearest.append((scores, ids, rows % segment.rows))
    scores, ids, places = (np.concatenate(some, 1) for some in zip(*nearest, strict=True))
    ordered = by_all_views(scores, ids)[:VERIFIED]
    best = _best_regions(scores, ids, places)
    return [
        Candidate(id, best[id][0], record_of(snapshot, id, where), tuple(REGIONS[best[id][1]]))
        for id in ordered
    ]


def _best_regions(
    scores: Keys, ids: Ids, places: NDArray[np.int64]
) -> dict[int, tuple[float, int]]:
    """Of each photo, the best score and the number of its region."""
    best: dict[int, tuple[float, int]] = {}
    order = np.argsort(scores, axis=None, kind="stable")
    rows = zip(*(one.ravel()[order].tolist() for one in (scores, ids, places)), strict=True)
    for score, id, place in rows:
        best[id] = score, place
    return best


def by_all_views(scores: Keys, ids: Ids) -> list[int]:
    """Photos by their evidence: in each view, how far the best region is above the last one that
    the search returned. In a collection of 9,144, this puts a crop of 15% of the area among the
    first ten of two queries in three; the best cosine alone, of one in two.
    """
    evidence: dict[int, float] = {}
    for row, some in zip(scores, ids, strict=True):
        order = np.argsort(-row, kind="stable")
        places = order[some[order] > 0][:ROWS]
        if not len(places):
            continue
        lowest = float(row[places[-1]])
        seen: set[int] = set()
        for id, score in zip(some[places].tolist(), row[places].tolist(), strict=True):
            if id not in seen:
                seen.add(id)
                evidence[id] = evidence.get(id, 0.0) + score - lowest
    return sorted(evidence, key=lambda id: -evidence[id])


def verify(
    verifier: Verifier,
    some: Sequence[Candidate],
    clear: int = CLEAR,
    decode: Decode = decode_file,
) -> list[tuple[Candidate, Agreement]]:
    """The candidates that contain the query, most agreeing features first.

    They are compared in their order, as many at a time as there are cores, until one has `clear`
    agreeing features and a share of SURE, or until FIRST are compared and one has `clear`: the
    photo of a query is often the first, and comparing all takes a hundred times as long.
    """
    verified: list[tuple[Candidate, Agreement]] = []
    cores = os.cpu_count() or 1
    # Threads of BLAS that wait for each other take several times as long as they compute.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        for first in range(0, len(some), cores):
            batch = some[first : first + cores]
            windows = [None if first < WHOLE else window(one.region) for one in batch]
            for candidate, agreement in zip(
                batch, pool.map(partial(_compare, verifier, decode), batch, windows), strict=True
            ):
                if agreement is not None:
                    verified.append((candidate, agreement))
            clear_ones = [one for _, one in verified if one.count >= clear]
            enough = first + cores >= FIRST or any(one.share >= SURE for one in clear_ones)
            if clear_ones and enough:
                break
    return sorted(verified, key=lambda pair: -pair[1].count)


def window(region: Box) -> Box | None:
    """A box AROUND times as large around a region's, moved into the photo; None for all of it."""
    width, height = (AROUND * side for side in region[2:])
    if width >= 1 and height >= 1:
        return None
    left = min(max(0.0, region[0] - (width - region[2]) / 2), 1 - width)
    top = min(max(0.0, region[1] - (height - region[3]) / 2), 1 - height)
    return left, top, width, height


def _compare(
    verifier: Verifier, decode: Decode, candidate: Candidate, part: Box | None
) -> Agreement | None:
    """None for a photo of which no file can be read, too."""
    side = SIDE if part is None else round(WINDOW / max(part[2:]))
    for path in candidate.record.paths:
        try:
            return verifier.compare(decode(path, side), part)
        except Unreadable:
            continue
    return None


def answer(
    snapshot: Snapshot,
    regions: Regions,
    picture: Image.Image,
    frame: Frame | None,
    k: int,
    where: Where | None,
    min_score: float | None,
    significant_only: bool,
    fold: bool,
    thorough: bool,
    decode: Decode = decode_file,
) -> Answer:
    """The k best photos of which a picture is a part: see `Index.find_part`. frame: what was
    trimmed from the picture.
    """
    check(snapshot)
    if k < 1:
        raise Unsuitable(f"cannot search for {k} photos", "k must be at least 1")
    with ThreadPoolExecutor(1) as beside:
        # The query's local features take as long as the search by regions.
        preparing = beside.submit(Verifier, picture, frame=frame)
        some = candidates(snapshot, regions, picture, where)
        verifier = preparing.result()
    if min_score is not None:
        some = [one for one in some if one.score >= min_score]
    verified = verify(verifier, some, len(some) * FEATURES if thorough else CLEAR, decode)
    agreements = {one.id: (one, agreement) for one, agreement in verified}
    rest = [] if significant_only else [one for one in some if one.id not in agreements]
    ordered = [*(one for one, _ in agreements.values()), *rest]
    matches = [Match(one.id, one.score, one.record) for one in ordered]
    groups = fold_copies(snapshot, matches, Comparison()) if fold else ([one] for one in matches)
    results, significant = [], 0
    for group in islice(groups, k):
        _, agreement = agreements.get(group[0].id, (None, None))
        if significant_only and (agreement is None or agreement.count < CLEAR):
            continue
        results.append(_result(group, snapshot, agreement))
        significant += agreement is not None and agreement.count >= CLEAR
    return Answer(tuple(results), significant, {}, parts=True)


def _result(group: list[Match], snapshot: Snapshot, agreement: Agreement | None) -> Result:
    result = result_of(group, snapshot.significance, 1)
    if agreement is None:
        return replace(result, one_in=1.0)
    return replace(
        result,
        one_in=1e9 if agreement.count >= CLEAR else 1.0,
        region=region_of(agreement, result.record),
        agreeing=agreement.count,
        placement=agreement.placement,
    )


def region_of(agreement: Agreement, record: Record) -> Region:
    """The box of an agreement in pixels of a photo."""
    left, top, width, height = agreement.box
    x, y = round(left * record.width), round(top * record.height)
    right, bottom = round((left + width) * record.width), round((top + height) * record.height)
    return Region(x, y, max(1, right - x), max(1, bottom - y))
