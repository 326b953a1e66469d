"""A person's answers about photos, as positives and certain negatives of a run.

Two thirds of the answers are trained on. The others say whether training helped.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder import whitening
from mocosearch.encoder.whitening import DIMENSION, Array
from mocosearch.errors import Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.inference import features
from mocosearch.photos.decode import Pixels

HELD_OUT = 3
"""One of so many answers is held out."""
LEAST = 5
"""Comparisons of held-out answers that are needed to judge a network."""
COPIES = 0.9
"""Cosine from which `duplicates` may list two photos as copies, by default."""

Paths = Sequence[str]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Photos, each given by the paths of its files.

    looks: for each search, the photos that belong to it and those that do not. different: groups of
    photos that look alike and are not copies of each other.
    """

    looks: Sequence[tuple[Sequence[Paths], Sequence[Paths]]] = ()
    different: Sequence[Sequence[Paths]] = ()


@dataclass(frozen=True)
class HeldOut:
    """Answers that are not trained on, as rows of the run's photos.

    looks: for each search, the photos that belong to it and are trained on, and the held-out ones
    that belong and that do not. pairs: (n, 2), photos that are not copies.
    """

    looks: Sequence[tuple[Rows, Rows, Rows]]
    pairs: Rows

    @property
    def rows(self) -> Rows:
        """All rows that are needed to judge a network, sorted."""
        parts = [part for look in self.looks for part in look]
        return np.unique(np.concatenate([*parts, self.pairs.ravel()]))


@dataclass(frozen=True)
class Lessons:
    """The answers of a run.

    triples: int64 (n, 3), rows of a photo, of its positive, which may be the same photo in another
    view, and of its certain negative. groups: int64 (photos,), equal for photos of one search,
    which are not negatives of each other.
    """

    triples: Rows
    groups: Rows
    held_out: HeldOut


def lessons(answers: Answers, paths: Sequence[str], bursts: Rows, seed: int) -> Lessons:
    """The answers about the photos of a run; others are left out.

    paths: of the run's photos, in order. bursts: their groups (n,) without the answers. Raises
    Unsuitable for answers that are too few to train on or to judge a network by.
    """
    row_of = {path: row for row, path in enumerate(paths)}
    random = np.random.default_rng(seed)
    groups = bursts.copy()
    triples: list[tuple[int, int, int]] = []
    looks = []
    for wanted, unwanted in answers.looks:
        yes, held_yes = _split(_rows(wanted, row_of), random)
        no, held_no = _split(_rows(unwanted, row_of), random)
        for row in yes[1:]:
            groups[groups == groups[row]] = groups[yes[0]]
        triples += product(yes.tolist(), yes.tolist(), no.tolist())
        if len(yes) and len(held_yes) and len(held_no):
            looks.append((yes, held_yes, held_no))
    pairs = []
    for group in answers.different:
        rows = _rows(group, row_of).tolist()
        pairs += [(a, b) for a, b in product(rows, rows) if a < b]
    trained, held = _split(np.array(pairs, np.int64).reshape(-1, 2), random)
    triples += [(a, a, b) for a, b in [*trained.tolist(), *trained[:, ::-1].tolist()]]
    result = Lessons(np.array(triples, np.int64).reshape(-1, 3), groups, HeldOut(looks, held))
    comparisons = sum(len(yes) * len(no) for _, yes, no in looks) + len(held)
    if not triples or comparisons < LEAST:
        raise Unsuitable(
            f"{comparisons} comparisons can be made with the answers about these photos, at least "
            f"{LEAST} are needed",
            "give more with mocosearch look teach NAME",
        )
    return result


def _rows(photos: Sequence[Paths], row_of: Mapping[str, int]) -> Rows:
    rows = {row_of[path] for paths in photos for path in paths if path in row_of}
    return np.array(sorted(rows), np.int64)


def _split(rows: Rows, random: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows that are trained on, and one of HELD_OUT that are not."""
    rows = random.permutation(rows)
    held = len(rows) // HELD_OUT
    return rows[held:], rows[:held]


def share_right(backbone: Backbone, sample: Pixels, held_out: HeldOut, photos: Pixels) -> float:
    """The share of comparisons that a network gets right, 0..1.

    A held-out photo that belongs to a search must be nearer to the photos of it that were trained
    on, by the mean cosine, than one that does not. Two photos that are not copies must have a
    cosine below COPIES.

    sample: uint8 (m, side, side, 3), for the whitening. photos: uint8 (k, side, side, 3), of
    `held_out.rows`.
    """
    descriptor = Descriptor(deepcopy(backbone).cpu()).float().eval()
    white = whitening.fit(features(descriptor, sample), DIMENSION)
    keys = white.keys(features(descriptor, photos))

    def at(rows: Rows) -> Array:
        return keys[np.searchsorted(held_out.rows, rows)]

    right = [_nearer(*map(at, look)) for look in held_out.looks]
    right.append((at(held_out.pairs[:, 0]) * at(held_out.pairs[:, 1])).sum(1) < COPIES)
    return float(np.concatenate([part.ravel() for part in right]).mean())


def _nearer(trained: Array, yes: Array, no: Array) -> NDArray[np.bool_]:
    """For each photo that belongs and each that does not, whether the first is nearer, (n, m)."""
    centre = trained.mean(0)
    nearer: NDArray[np.bool_] = (yes @ centre)[:, None] > (no @ centre)[None, :]
    return nearer
