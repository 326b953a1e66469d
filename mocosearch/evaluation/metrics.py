"""Retrieval metrics of keys, leave-one-out, and a measure that needs no labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocosearch.errors import Unsuitable

ROWS = 1024
"""Queries whose scores are in memory at once."""


def precision_at(
    keys: NDArray[np.float32], labels: Sequence[str], ks: Sequence[int] = (1, 10)
) -> dict[int, float]:
    """Precision@k for each k: the mean share of a photo's k nearest others with its label.

    keys: float32 (n, d) of unit length, compared by cosine. Every photo is the query once and is
    excluded from its own results. Raises Unsuitable for fewer than 2 keys.
    """
    _check_count(keys)
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    most = min(max(ks), len(keys) - 1)
    relevant = np.empty((len(keys), most), bool)
    for start in range(0, len(keys), ROWS):
        scores = keys[start : start + ROWS] @ keys.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        best = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        order = np.take_along_axis(scores, best, 1).argsort(1)[:, ::-1]
        best = np.take_along_axis(best, order, 1)
        relevant[start : start + ROWS] = classes[best] == classes[start + rows][:, None]
    return {k: float(relevant[:, : min(k, most)].mean()) for k in ks}


@dataclass(frozen=True)
class RankingMetrics:
    """Means over all photos whose label another photo shares.

    average_precision: the mean average precision (mAP). recall: for each k, recall@k, the share
    of the other photos with the label that are among the k nearest.
    """

    average_precision: float
    recall: dict[int, float]


def ranking_metrics(
    keys: NDArray[np.float32], labels: Sequence[str], ks: Sequence[int] = (1, 10, 100)
) -> RankingMetrics:
    """Mean average precision and recall@k over whole rankings by cosine, leave-one-out.

    keys: float32 (n, d) of unit length. A photo whose label is unique is not a query. Raises
    Unsuitable for fewer than 2 keys, and if all labels are unique.
    """
    _check_count(keys)
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    others = np.bincount(classes)[classes] - 1
    precisions: list[float] = []
    recalls: dict[int, list[float]] = {k: [] for k in ks}
    for row in np.flatnonzero(others):
        scores = keys @ keys[row]
        scores[row] = -np.inf
        relevant = (classes == classes[row])[np.argsort(-scores, kind="stable")[:-1]]
        ranks = np.flatnonzero(relevant) + 1
        precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
        for k in ks:
            recalls[k].append(float((ranks <= k).sum() / others[row]))
    if not precisions:
        raise Unsuitable("no label has two photos", "give several photos the same label")
    return RankingMetrics(
        float(np.mean(precisions)), {k: float(np.mean(values)) for k, values in recalls.items()}
    )


def recall_at_1(
    keys: NDArray[np.float32], queries: NDArray[np.float32], rows: Sequence[int]
) -> float:
    """Share of queries whose nearest key is the one in their row of `rows`.

    keys: float32 (n, d) of unit length; queries: float32 (m, d); rows: m numbers below n.
    """
    return float(np.mean((queries @ keys.T).argmax(1) == np.asarray(rows)))


def effective_rank(keys: NDArray[np.float32]) -> float:
    """The number of directions that keys (n, d) use, 1..d: the exponential of the entropy of the
    covariance's normalised spectrum (Roy and Vetterli 2007).
    """
    centred = (keys - keys.mean(0)).astype(np.float64)
    spectrum = np.linalg.eigvalsh(centred.T @ centred).clip(0)
    shares = spectrum / max(float(spectrum.sum()), 1e-300)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _check_count(keys: NDArray[np.float32]) -> None:
    if len(keys) < 2:
        raise Unsuitable("evaluation needs at least 2 keys", "index a larger collection")
