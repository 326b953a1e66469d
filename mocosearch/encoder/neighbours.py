"""A whitening adapted to a collection by pairs of its nearest photos, without labels.

Two photos that are each other's nearest neighbours nearly always show the same kind of thing. So
directions in which such pairs differ are of little use for retrieval, and are scaled down: the
learned whitening of arXiv:1711.02512, section 3.4 (from Mikolajczyk and Matas, ICCV 2007), whose
pairs come from a geometric reconstruction. On collections with labels precision@10 rises by .04 to
.06, also for photos that were not used (benchmarks/recipes.md).
"""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mocosearch.encoder.whitening import Array, Features, Whitening

NEAREST = 5
"""A pair's photos are among each other's so many nearest ones."""
RARE = 0.002
"""A pair is more similar than all but this share of random pairs. In a collection of single photos
the nearest one shows something else."""
DRAWN = 100_000
"""Random pairs drawn for that."""
PRIOR_PAIRS = 500
"""Weight, in pairs, of the assumption that all directions differ equally."""
LEAST_SHARE = 0.1
"""Least share of that assumption; a tenth to a fifth change no measured figure."""
ROWS = 512
"""Rows of cosines computed at once."""


def adapt(white: Whitening, features: Features) -> Whitening:
    """The whitening with directions in which neighbours differ scaled down.

    features: (n, D), of photos of the collection. With few pairs it hardly changes.
    """
    keys = white.keys(features)
    with threadpool_limits(1, user_api="blas"):
        some, others = _pairs(keys)
        if len(some) < 2:
            return white
        differences = keys[some] - keys[others]
        covariance = (differences.T @ differences / (2 * len(some))).astype(np.float64)
        share = max(LEAST_SHARE, 1 / (1 + len(some) / PRIOR_PAIRS))
        equal = np.trace(covariance) / len(covariance)
        covariance = (1 - share) * covariance + share * equal * np.eye(len(covariance))
        variances, directions = np.linalg.eigh(covariance)
        # Of copies alone the differences are almost zero.
        variances = variances.clip(min=max(1e-6 * equal, 1e-12))
        # The mean scale is 1, so the projection keeps its magnitude in fp16.
        scales = (np.exp(np.log(variances).mean()) / variances) ** 0.5
        projection = white.projection @ (directions * scales).astype(np.float32)
    return Whitening(white.centre, projection)


def _pairs(keys: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mutual neighbours that are more similar than random pairs: rows (p,) and rows (p,)."""
    n = len(keys)
    if n <= NEAREST:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    nearest = np.concatenate([_nearest(keys, at) for at in range(0, n, ROWS)])
    some, others = np.repeat(np.arange(n), NEAREST), nearest.ravel()
    mutual = (nearest[others] == some[:, None]).any(1) & (some < others)
    some, others = some[mutual], others[mutual]
    rare = _cosines(keys, some, others) > _rare_cosine(keys)
    return some[rare], others[rare]


def _nearest(keys: Array, start: int) -> NDArray[np.int64]:
    """The NEAREST other rows of some rows, in any order."""
    cosines = keys[start : start + ROWS] @ keys.T
    rows = np.arange(len(cosines))
    cosines[rows, start + rows] = -2.0
    return np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]


def _rare_cosine(keys: Array) -> float:
    """The cosine that a share RARE of random pairs exceeds."""
    draw = np.random.default_rng(0)
    some = draw.integers(0, len(keys), DRAWN)
    others = (some + draw.integers(1, len(keys), DRAWN)) % len(keys)
    return float(np.quantile(_cosines(keys, some, others), 1 - RARE))


def _cosines(keys: Array, some: NDArray[np.int64], others: NDArray[np.int64]) -> Array:
    parts = [
        np.einsum("ij,ij->i", keys[some[at : at + 8192]], keys[others[at : at + 8192]])
        for at in range(0, len(some), 8192)
    ]
    cosines: Array = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return cosines
