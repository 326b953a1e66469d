"""PCA whitening with shrinkage, fitted on the collection's own photos without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Array = NDArray[np.float32]
Features = NDArray[np.float16] | Array
AT_ONCE = 256
"""Rows of features, tens of kB each, that are copied at one time."""

POWER = 0.35
"""Of the whitening: between none and full, which blows up noise where photos are few and costs
most where things stand anywhere (benchmarks/recipes.md)."""

PRIOR = 500
"""Photos that an earlier whitening counts for: with so many, a fit on 30 photos finds as much as
the earlier one, and a fit on 2,000 as much as one on those alone (benchmarks/recipes.md)."""


@dataclass(frozen=True)
class Whitening:
    """`centre` float32 (D,), `projection` float32 (D, d): keys are (x - centre) @ projection."""

    centre: Array
    projection: Array

    def keys(self, features: Features) -> Array:
        """Of features (n, D): float32 (n, d) of unit length."""
        keys = np.empty((len(features), self.projection.shape[1]), np.float32)
        for at in range(0, len(features), AT_ONCE):
            keys[at : at + AT_ONCE] = (features[at : at + AT_ONCE] - self.centre) @ self.projection
        keys /= np.linalg.norm(keys, axis=1, keepdims=True).clip(min=1e-12)
        return keys


def fit(
    features: Features,
    dimension: int,
    *,
    shrinkage: float | None = None,
    power: float = POWER,
    prior: Whitening | None = None,
) -> Whitening:
    """Fit on features (n, D); the result has min(dimension, D) columns whatever n is.

    Directions are divided by their variance to the `power`: 0.5 makes all equal, 0 leaves them
    as they are.

    prior: an earlier whitening of the same features and power, whose photos count as PRIOR more:
    mean and covariance are those of both, as far as its columns tell them.

    The covariance is shrunk towards a multiple of the identity, as by Ledoit and Wolf (2004),
    by `shrinkage` in 0..1, or by 1 / (1 + n / 100) where none is given: directions that n
    photos cannot tell from noise are not blown up, and those that n photos do not span
    keep the identity's share, so that a handful of photos is enough.
    """
    n, D = features.shape
    dimension = min(dimension, D)
    centre = features.mean(0, dtype=np.float32)
    earlier = 0 if prior is None else prior.projection.shape[1] + 1
    # All that is held of n photos besides their features: thousands of numbers each.
    x = np.empty((n + earlier, D), np.float32)
    np.subtract(features, centre, out=x[:n])
    if prior is not None:
        x[n:-1] = _deviations(prior, power) * (PRIOR - 1) ** 0.5
        x[-1] = (prior.centre - centre) * (n * PRIOR / (n + PRIOR)) ** 0.5
        centre = (n * centre + PRIOR * prior.centre) / (n + PRIOR)
        n += PRIOR
    amount = 1 / (1 + n / 100) if shrinkage is None else shrinkage
    x /= max(n - 1, 1) ** 0.5
    spread = float(np.einsum("ij,ij->i", x, x).sum(dtype=np.float64)) / D
    # Where other programs keep the processor busy, two threads of BLAS wait for each other up to
    # forty times as long as they compute.
    with threadpool_limits(1, user_api="blas"):
        variances, directions = _leading(x, dimension)
    shrunk = (1 - amount) * variances + amount * spread
    # Without shrinkage few photos leave directions of no variance, which tell nothing.
    shrunk = shrunk.clip(min=max(1e-6 * spread, 1e-12))
    projection = directions / shrunk**power
    return Whitening(centre.astype(np.float32), projection.astype(np.float32))


def _leading(x: Array, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest variances of rows (n, D) with mean 0, and their directions (D, count).

    By a randomised range finder with power iterations (arXiv:0909.4061, algorithm 4.4).
    """
    D = x.shape[1]
    chance = np.random.default_rng(0).standard_normal((D, min(D, count + 64)))
    basis = np.linalg.qr(chance.astype(np.float32))[0]
    for _ in range(4 if basis.shape[1] < D else 0):
        basis = np.linalg.qr(x.T @ (x @ basis))[0]
    small = (x @ basis).astype(np.float64)
    variances, turn = np.linalg.eigh(small.T @ small)
    leading = slice(-1, -count - 1, -1)
    return variances[leading].clip(min=0), basis @ turn[:, leading]


def _deviations(white: Whitening, power: float) -> Array:
    """The directions of a whitening, each as long as its standard deviation: (d, D)."""
    lengths = np.linalg.norm(white.projection, axis=0).clip(min=1e-12)
    return np.asarray((white.projection / lengths ** (1 + 0.5 / power)).T, np.float32)
