"""Photos that are parts of others: crops and enlarged crops, each with its place."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from indexes.parts.search import candidates, check, picture_of, region_of
from indexes.parts.verification import CLEAR, SIDE, Agreement, Verifier, opencv
from indexes.search.answer import Region, existing_first
from indexes.search.filters import Where
from indexes.search.snapshot import Snapshot
from indexes.store.records import Record
from mocosearch.encoder.regions import Regions
from mocosearch.errors import NotFound, Unreadable
from mocosearch.photos.decode import decode_image, read

COMPARED = 4
"""Photos with the nearest regions that each photo is compared with."""
WHOLE = 0.85
"""Share of the larger photo from which on the other one is a copy, not a part."""


@dataclass(frozen=True)
class Part:
    """A photo that is a part of a larger one. agreeing: how many local features say so."""

    record: Record
    larger: Record
    region: Region
    agreeing: int
    score: float


def parts(
    snapshot: Snapshot,
    regions: Regions,
    where: Where | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Part]:
    """The photos that are parts of others in the index, mirrored or not.

    Each photo is read, and compared with the COMPARED photos whose regions are nearest. It is a
    part where CLEAR local features or more agree, and its place is less than WHOLE of the other.
    where: the photos that may be parts; the larger ones are any. report: called with photos done
    and photos in all. Raises Unsuitable for an index without keys of regions and without OpenCV.
    """
    check(snapshot)
    opencv()
    ids = snapshot.among(where or Where()).tolist()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, id in enumerate(ids):
            report(done, len(ids))
            found = _part(pool, snapshot, regions, id)
            if found is not None:
                yield found
    report(len(ids), len(ids))


def _part(pool: ThreadPoolExecutor, snapshot: Snapshot, regions: Regions, id: int) -> Part | None:
    record = snapshot.record(id)
    try:
        picture = picture_of(existing_first(record.paths)[0], None)
    except (NotFound, Unreadable):
        return None
    some = candidates(snapshot, regions, picture, None)
    some = [one for one in some if one.id != id][:COMPARED]
    verifier = Verifier(picture)
    agreements = list(pool.map(partial(_compare, verifier), [one.record for one in some]))
    best: Part | None = None
    for one, agreement in zip(some, agreements, strict=True):
        if agreement is None or agreement.count < CLEAR:
            continue
        if agreement.box[2] * agreement.box[3] >= WHOLE or not _is_inside(agreement):
            continue
        if best is None or agreement.count > best.agreeing:
            region = region_of(agreement, one.record)
            best = Part(record, one.record, region, agreement.count, one.score)
    return best


def _is_inside(agreement: Agreement) -> bool:
    """Whether nothing of the part lies outside the photo: two photos may also overlap."""
    return agreement.inside >= WHOLE


def _compare(verifier: Verifier, record: Record) -> Agreement | None:
    try:
        return verifier.compare(decode_image(read(existing_first(record.paths)[0]) or b"", SIDE))
    except Unreadable:
        return None
