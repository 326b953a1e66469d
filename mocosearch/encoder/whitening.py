"""PCA whitening with shrinkage, fitted on photos without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Array = NDArray[np.float32]
Features = NDArray[np.float16] | Array
ROWS = 256
"""Rows of features, tens of kB each, that are copied to float32 at once."""

LARGEST_ERROR = 1e-5
"""Largest inner product of two directions that count as orthogonal."""

POWER = 0.35
"""Exponent of the whitening, between none (0) and full (0.5). Full whitening amplifies noise if
photos are few, and costs most where objects are not centred (benchmarks/recipes.md)."""

DIMENSION = 256
"""Dimension of keys where no encoder sets another one."""

PRIOR = 500
"""Weight of an earlier whitening, in photos: with this, a fit on 30 photos retrieves as well as the
earlier one, and a fit on 2,000 as well as one on those alone (benchmarks/recipes.md)."""


@dataclass(frozen=True)
class Whitening:
    """centre: float32 (D,); projection: float32 (D, d). Keys are (x - centre) @ projection."""

    centre: Array
    projection: Array

    def keys(self, features: Features) -> Array:
        """Keys of features (n, D): float32 (n, d) of unit length."""
        keys = np.empty((len(features), self.projection.shape[1]), np.float32)
        for at in range(0, len(features), ROWS):
            keys[at : at + ROWS] = (features[at : at + ROWS] - self.centre) @ self.projection
        keys /= np.linalg.norm(keys, axis=1, keepdims=True).clip(min=1e-12)
        return keys


def random_projection(D: int, dimension: int = DIMENSION) -> Whitening:
    """Used until a whitening is fitted: min(D, dimension) fixed random orthogonal directions.

    They preserve distances to about 1/sqrt(2 * dimension) (Johnson and Lindenstrauss, 1984).
    """
    noise = np.random.default_rng(0).standard_normal((D, dimension)).astype(np.float32)
    return Whitening(np.zeros(D, np.float32), _orthonormal(noise))


def fit(
    features: Features,
    dimension: int,
    *,
    shrinkage: float | None = None,
    power: float = POWER,
    prior: Whitening | None = None,
) -> Whitening:
    """Fit on features (n, D); the projection has min(dimension, D) columns for every n.

    power: principal directions are divided by their variance to this power; 0.5 equalises all
        variances, 0 leaves them unchanged.
    prior: an earlier whitening of the same features with the same power. It counts as PRIOR
        further photos: mean and covariance are those of both, as far as its columns give them.
    shrinkage: 0..1, by default 1 / (1 + n / 100). The covariance is shrunk towards a multiple of
        the identity, as by Ledoit and Wolf (2004). Directions that n photos do not distinguish
        from noise are not amplified, and those that they do not span keep the identity's share,
        so that a few photos suffice.
    """
    n, D = features.shape
    dimension = min(dimension, D)
    centre = features.mean(0, dtype=np.float32)
    earlier = 0 if prior is None else prior.projection.shape[1] + 1
    # The only copy of the features, which are thousands of numbers per photo.
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
    # On a busy machine two BLAS threads wait for each other up to 40 times as long as they
    # compute.
    with threadpool_limits(1, user_api="blas"):
        variances, directions = leading(x, dimension)
    shrunk = (1 - amount) * variances + amount * spread
    # Without shrinkage few photos leave directions of zero variance.
    shrunk = shrunk.clip(min=max(1e-6 * spread, 1e-12))
    projection = directions / shrunk**power
    return Whitening(centre.astype(np.float32), projection.astype(np.float32))


def leading(
    x: Array, count: int, iterations: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest variances of centred rows (n, D), and their directions (D, count).

    Computed by a randomised range finder with power iterations (arXiv:0909.4061, algorithm 4.4).
    Few rows are their own basis, completed by random directions, which is exact.
    """
    n, D = x.shape
    random = np.random.default_rng(0).standard_normal((D, min(D, count + 64))).astype(np.float32)
    if n <= random.shape[1]:
        basis = _orthonormal(np.concatenate([x.T, random[:, n:count]], axis=1))
    else:
        basis = _orthonormal(random)
        for _ in range(iterations if basis.shape[1] < D else 0):
            basis = _orthonormal(x.T @ (x @ basis))
    small = (x @ basis).astype(np.float64)
    variances, rotation = np.linalg.eigh(small.T @ small)
    largest = slice(-1, -count - 1, -1)
    return variances[largest].clip(min=0), basis @ rotation[:, largest]


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of the span of columns (D, d), d <= D.

    Cholesky QR, twice (Yamamoto et al., "Roundoff error analysis of the CholeskyQR2 algorithm",
    2015), in a quarter of the time of Householder reflections, which take over where columns are
    nearly dependent.
    """
    basis = columns / np.linalg.norm(columns, axis=0).clip(min=1e-30)
    try:
        for _ in range(2):
            gram = basis.astype(np.float64)
            upper = np.linalg.cholesky(gram.T @ gram).T
            basis = basis @ np.linalg.inv(upper).astype(np.float32)
    except np.linalg.LinAlgError:
        basis = columns
    # Columns that rounding errors leave dependent pass Cholesky, and are not orthonormal.
    error = np.abs(basis.T @ basis - np.eye(basis.shape[1], dtype=np.float32)).max()
    return basis if error < LARGEST_ERROR else np.linalg.qr(columns)[0]


def _deviations(white: Whitening, power: float) -> Array:
    """The principal directions of a whitening, scaled to their standard deviations: (d, D).

    An adapted whitening has no variances. Those are taken that give its cosines.
    """
    projection = white.projection.astype(np.float64)
    squares, rotation = np.linalg.eigh(projection.T @ projection)
    lengths = np.sqrt(squares.clip(min=1e-24))
    return np.asarray(((projection @ rotation) / lengths ** (1 + 0.5 / power)).T, np.float32)
