"""Photos of which a picture is a part: found by the keys of regions, verified by local features."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from indexes.parts.verification import CLEAR, FEATURES, SIDE, Agreement, Verifier
from indexes.search.answer import Answer, Region, Result, result_of
from indexes.search.filters import Where
from indexes.search.fold import Comparison, fold_copies
from indexes.search.inputs import PathLike
from indexes.search.nearest import Match, record_of
from indexes.search.question import data_of, file_errors
from indexes.search.ranking import best_of
from indexes.search.snapshot import Snapshot
from indexes.store.records import Ids, Keys, Record
from mocosearch.encoder.regions import Regions
from mocosearch.errors import Unreadable, Unsuitable
from mocosearch.photos.borders import picture_box
from mocosearch.photos.decode import MAX_PIXELS, decode_image, read
from mocosearch.photos.squares import Crop

VERIFIED = 200
"""Photos that are verified at most: half of the crops of 5% have their photo among the first
hundred by their regions, and more than half among these."""
FIRST = 10
"""Photos that are verified before the search may end, and between two times that it asks."""
ROWS = 400
"""Nearest regions to each view of the query; a photo may have several among them."""
LARGEST = 1024
"""Longest side at which a query is decoded, unless it is cropped."""


@dataclass(frozen=True)
class Candidate:
    """A photo by its best region. score: cosine of query and region, as far as its code tells."""

    id: int
    score: float
    record: Record


def picture_of(image: PathLike | bytes, crop: Crop | None) -> Image.Image:
    """The upright picture of a file that is searched for: a region of it, or all inside its borders
    of one colour. Raises NotFound, Unreadable, and Unsuitable for a region outside the picture.
    """
    with file_errors(image):
        data = data_of(image)
        return _inside(data, crop)


def _inside(data: bytes, crop: Crop | None) -> Image.Image:
    if crop is not None:
        picture = decode_image(data, MAX_PIXELS)
        return picture.crop(crop.box(picture.width, picture.height))
    picture = decode_image(data, LARGEST)
    box = picture_box(np.asarray(picture))
    if box is None:
        return picture
    return picture.crop(Crop(*box, relative=True).box(picture.width, picture.height))


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
    found: list[tuple[Keys, Ids]] = []
    for segment in snapshot.regions:
        selection = segment.select(deleted, only)
        found.append(segment.search(views, ROWS, selection))
    scores = np.concatenate([scores for scores, _ in found], 1)
    ids = np.concatenate([ids for _, ids in found], 1)
    best = dict(zip(*(one.tolist() for one in best_of(scores, ids)[::-1]), strict=True))
    ordered = _by_all_views(scores, ids)[:VERIFIED]
    return [Candidate(id, best[id], record_of(snapshot, id, where)) for id in ordered]


def _by_all_views(scores: Keys, ids: Ids) -> list[int]:
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
    verifier: Verifier, some: Sequence[Candidate], clear: int = CLEAR
) -> list[tuple[Candidate, Agreement]]:
    """The candidates that contain the query, most agreeing features first.

    They are compared in their order, FIRST at a time, until one of those has `clear` agreeing
    features: a query that is a part of a photo is often found among the first ten, and comparing
    all takes twenty times as long.
    """
    verified: list[tuple[Candidate, Agreement]] = []
    # Threads of BLAS that wait for each other take several times as long as they compute.
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for batch in _batches(some, FIRST):
            for candidate, agreement in zip(
                batch, pool.map(lambda one: _compare(verifier, one), batch), strict=True
            ):
                if agreement is not None:
                    verified.append((candidate, agreement))
            if any(agreement.count >= clear for _, agreement in verified):
                break
    return sorted(verified, key=lambda pair: -pair[1].count)


def _compare(verifier: Verifier, candidate: Candidate) -> Agreement | None:
    """None for a photo of which no file can be read, too."""
    for path in candidate.record.paths:
        try:
            return verifier.compare(decode_image(read(path) or b"", SIDE))
        except Unreadable:
            continue
    return None


def _batches(some: Sequence[Candidate], size: int) -> Iterator[list[Candidate]]:
    rest = iter(some)
    while batch := list(islice(rest, size)):
        yield batch


def answer(
    snapshot: Snapshot,
    regions: Regions,
    picture: Image.Image,
    k: int,
    where: Where | None,
    min_score: float | None,
    significant_only: bool,
    fold: bool,
    thorough: bool,
) -> Answer:
    """The k best photos of which a picture is a part: see `Index.find_part`."""
    check(snapshot)
    if k < 1:
        raise Unsuitable(f"cannot search for {k} photos", "k must be at least 1")
    verifier = Verifier(picture)
    some = candidates(snapshot, regions, picture, where)
    if min_score is not None:
        some = [one for one in some if one.score >= min_score]
    verified = verify(verifier, some, len(some) * FEATURES if thorough else CLEAR)
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
