"""How good keys are: by labels, leave-one-out, and without labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocosearch.errors import Unsuitable


def precision_at(
    keys: NDArray[np.float32], labels: Sequence[str], ks: Sequence[int] = (1, 10)
) -> dict[int, float]:
    """Mean share of a photo's k nearest others that carry its label, for each k.

    keys: float32 (n, d) of unit length, compared by cosine; every photo is the query once
    and is not among its own results. Raises Unsuitable for fewer than 2 keys.
    """
    _several(keys)
    names = np.unique(np.asarray(labels), return_inverse=True)[1]
    most = min(max(ks), len(keys) - 1)
    right = np.empty((len(keys), most), bool)
    for start in range(0, len(keys), 1024):
        scores = keys[start : start + 1024] @ keys.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        best = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        order = np.take_along_axis(scores, best, 1).argsort(1)[:, ::-1]
        best = np.take_along_axis(best, order, 1)
        right[start : start + 1024] = names[best] == names[start + rows][:, None]
    return {k: float(right[:, : min(k, most)].mean()) for k in ks}


@dataclass(frozen=True)
class Ranking:
    """How well photos find those of their label, means over all that have such others.

    average_precision: the area under precision against recall (mAP). recall: for each k, the
    share of the others of a label among the k nearest.
    """

    average_precision: float
    recall: dict[int, float]


def ranking(
    keys: NDArray[np.float32], labels: Sequence[str], ks: Sequence[int] = (1, 10, 100)
) -> Ranking:
    """Leave-one-out over whole rankings by cosine: keys float32 (n, d) of unit length.

    A photo that is alone with its label asks nothing. Raises Unsuitable for fewer than 2 keys,
    or where no label has 2 photos.
    """
    _several(keys)
    names = np.unique(np.asarray(labels), return_inverse=True)[1]
    sizes = np.bincount(names)[names] - 1
    precisions: list[float] = []
    recalls: dict[int, list[float]] = {k: [] for k in ks}
    for row in np.flatnonzero(sizes):
        scores = keys @ keys[row]
        scores[row] = -np.inf
        right = (names == names[row])[np.argsort(-scores, kind="stable")[:-1]]
        ranks = np.flatnonzero(right) + 1
        precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
        for k in ks:
            recalls[k].append(float((ranks <= k).sum() / sizes[row]))
    if not precisions:
        raise Unsuitable("no label has two photos", "give several photos the same label")
    return Ranking(
        float(np.mean(precisions)), {k: float(np.mean(found)) for k, found in recalls.items()}
    )


def found_first(
    keys: NDArray[np.float32], queries: NDArray[np.float32], rows: Sequence[int]
) -> float:
    """Share of queries, float32 (m, d), whose nearest key of all n is that of their own row."""
    return float(np.mean((queries @ keys.T).argmax(1) == np.asarray(rows)))


def effective_rank(keys: NDArray[np.float32]) -> float:
    """In how many directions keys (n, d) spread, 1..d: the exponential of the entropy of their
    covariance's spectrum (Roy and Vetterli 2007).
    """
    centred = (keys - keys.mean(0)).astype(np.float64)
    spectrum = np.linalg.eigvalsh(centred.T @ centred).clip(0)
    shares = spectrum / max(float(spectrum.sum()), 1e-300)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _several(keys: NDArray[np.float32]) -> None:
    if len(keys) < 2:
        raise Unsuitable("precision needs at least 2 keys", "name a larger collection")
