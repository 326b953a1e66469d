"""PCA whitening with shrinkage, fitted on the collection's own photos without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Whitening:
    """`centre` float32 (D,), `projection` float32 (D, d): keys are (x - centre) @ projection."""

    centre: Array
    projection: Array

    def keys(self, features: Array) -> Array:
        """Of features (n, D): float32 (n, d) of unit length."""
        keys = (features - self.centre) @ self.projection
        keys /= np.linalg.norm(keys, axis=1, keepdims=True).clip(min=1e-12)
        return np.asarray(keys, np.float32)


def fit(
    features: Array, dimension: int, *, shrinkage: float | None = None, power: float = 0.5
) -> Whitening:
    """Fit on features (n, D); the result has min(dimension, D) columns whatever n is.

    Directions are divided by their variance to the `power`: 0.5 makes all equal, 0 leaves them
    as they are.

    The covariance is shrunk towards a multiple of the identity, as by Ledoit and Wolf (2004),
    by `shrinkage` in 0..1, or by 1 / (1 + n / 100) where none is given: directions that n
    photos cannot tell from noise are not blown up, and those that n photos do not span
    keep the identity's share, so that a handful of photos is enough. The leading directions
    come from a randomised range finder with power iterations (arXiv:0909.4061, algorithm 4.4).
    """
    n, D = features.shape
    dimension = min(dimension, D)
    amount = 1 / (1 + n / 100) if shrinkage is None else shrinkage
    centre = features.mean(0)
    x = (features - centre) / max(n - 1, 1) ** 0.5
    spread = float(np.square(x, dtype=np.float64).sum()) / D
    basis = np.random.default_rng(0).standard_normal((D, min(D, dimension + 64)))
    basis = np.linalg.qr(basis.astype(np.float32))[0]
    for _ in range(8 if basis.shape[1] < D else 0):
        basis = np.linalg.qr(x.T @ (x @ basis))[0]
    small = (x @ basis).astype(np.float64)
    variances, turn = np.linalg.eigh(small.T @ small)
    leading = slice(-1, -dimension - 1, -1)
    variances = variances[leading].clip(min=0)
    shrunk = (1 - amount) * variances + amount * spread
    # Without shrinkage few photos leave directions of no variance, which tell nothing.
    shrunk = shrunk.clip(min=max(1e-6 * spread, 1e-12))
    projection = (basis @ turn[:, leading]) / shrunk**power
    return Whitening(centre.astype(np.float32), projection.astype(np.float32))
