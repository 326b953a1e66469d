"""Bursts: photos of one subject taken within seconds of each other, and which is the sharpest."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.copies.detail import read_grey
from indexes.duplicates.files import is_raw, unchanged_files
from indexes.search.filters import Where
from indexes.search.view import View
from indexes.store.records import Record
from mocosearch.photos.metadata.bursts import bursts

COSINE = 0.5
"""Lowest cosine of two consecutive photos of a burst. Two views of a photo, shifted by an eighth of
its width, have .72 or more in 99% of cases; two photos of different subjects exceed .5 in 0.2%."""


@dataclass(frozen=True)
class Shot:
    """One photo of a burst.

    sharpness: the variance of the Laplacian of the picture in grey, 0..255, reduced to at most 0.75
    megapixels; comparable within a burst only (Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy", 2000).
    """

    path: str
    record: Record
    sharpness: float


@dataclass(frozen=True)
class Burst:
    """Photos in the order in which they were taken, at least two, and the sharpest of them; `score`
    is the lowest cosine of two consecutive ones.
    """

    score: float
    shots: list[Shot]
    sharpest: Shot


def find_bursts(
    snapshot: View, min_score: float, where: Where, changed: set[str]
) -> Iterator[Burst]:
    """The bursts among the photos of an index, by their time.

    A burst's photos are of one camera, each at most `metadata.bursts.SECONDS` after the one before
    and similar to it. Photos without a time or a camera belong to none. A raw file is left out
    where the burst has a picture of the same name. changed: receives the paths that are left out
    because the files are missing, unreadable, or differ from those that were indexed.
    """
    ids = snapshot.among(where)
    records = {id: snapshot.record(id) for id in ids.tolist()}
    timed = [id for id, record in records.items() if record.taken and record.camera]
    numbers = bursts([records[i].taken for i in timed], [records[i].camera for i in timed])
    members: dict[int, list[int]] = defaultdict(list)
    for id, number in zip(timed, numbers.tolist(), strict=True):
        members[number].append(id)
    sets = [some for some in members.values() if len(some) > 1]
    for some in sorted(sets, key=lambda some: min(str(records[id].taken) for id in some)):
        shots = [(records[id], id) for id in some]
        shots.sort(key=lambda shot: (str(shot[0].taken), shot[0].paths[0]))
        shots = _without_raw(shots)
        yield from _similar(snapshot, shots, min_score, where.lies_in, changed)


def _without_raw(shots: list[tuple[Record, int]]) -> list[tuple[Record, int]]:
    def stems(record: Record) -> set[str]:
        return {os.path.splitext(path)[0] for path in record.paths}

    developed = {stem for record, _ in shots if not is_raw(record) for stem in stems(record)}
    return [shot for shot in shots if not (is_raw(shot[0]) and stems(shot[0]) & developed)]


def _similar(
    snapshot: View,
    photos: list[tuple[Record, int]],
    min_score: float,
    admits: Callable[[str], bool],
    changed: set[str],
) -> Iterator[Burst]:
    """The parts of one series of photos in which each is similar to the one before it."""
    present = []
    for record, id in photos:
        files = unchanged_files(snapshot, record, admits, changed)
        if files:
            present.append((files[0].path, record, id))
    if len(present) < 2:
        return
    keys = snapshot.keys(np.array([id for _, _, id in present], np.uint64))
    cosines = (keys[1:] * keys[:-1]).sum(1)
    ends = [*(np.flatnonzero(cosines < min_score) + 1).tolist(), len(present)]
    start = 0
    for end in ends:
        if end - start > 1:
            shots = _measure([(path, record) for path, record, _ in present[start:end]], changed)
            if len(shots) > 1:
                lowest = float(cosines[start : end - 1].min())
                yield Burst(lowest, shots, max(shots, key=lambda shot: shot.sharpness))
        start = end


def _measure(files: list[tuple[str, Record]], changed: set[str]) -> list[Shot]:
    with ThreadPoolExecutor() as pool:
        values = list(pool.map(_sharpness_of, [record for _, record in files]))
    shots = []
    for (path, record), value in zip(files, values, strict=True):
        if value is None:
            changed.add(path)
        else:
            shots.append(Shot(path, record, value))
    return shots


def _sharpness_of(record: Record) -> float | None:
    """None where no file can be read."""
    picture = read_grey(record)
    return None if picture is None else sharpness(np.asarray(picture))


def sharpness(grey: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of a picture (h, w); 0 for fewer than 3 pixels a side."""
    if min(grey.shape) < 3:
        return 0.0
    p = grey.astype(np.float32)
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    return float(laplacian.var())
