"""A linear model over keys, fitted to a few examples and to the collection behind them.

Ridge regression: an example that belongs has the target 1, one that does not has 0, and so has the
whole collection, with a fixed weight. The solution is closed, and so is each example's score by the
model without it (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009,
equation 7.64).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Keys

Matrix = NDArray[np.float64]

COLLECTION = 100.0
"""Weight of the collection, in examples."""
SPREAD, SPREAD_WEIGHT = 0.1, 4
"""Standard deviation of the scores of one kind that is assumed before any is seen, and how many
scores this assumption counts as."""
LEAST_GAP = 0.05
"""Least distance of the mean scores of both kinds."""
UNLIKE = 0.98
"""Where no example is unwanted: the quantile of the collection's scores in their place."""
SURE = 0.75
"""A photo with at least this probability is one that the look would add."""
UNCERTAIN = 0.6
"""The least certain photos have this share of the mean score of the wanted examples: there, the
next answers improve the order most (`benchmarks/looks.py`)."""


class Background:
    """A collection, by a sample of its keys (n, d)."""

    def __init__(self, sample: Keys) -> None:
        self.sample = sample.astype(np.float64)

    @cached_property
    def inverse(self) -> Matrix:
        """Of the second moments with the ridge, (d, d)."""
        count, dimension = self.sample.shape
        moments = self.sample.T @ self.sample / max(count, 1)
        return np.linalg.inv(np.eye(dimension) + COLLECTION * moments)


@dataclass(frozen=True)
class Model:
    """A fitted model.

    direction: (d,); a photo's score is its key's product with it. threshold: the score of the least
    certain photos. slope, offset: of the log odds of a score.
    """

    direction: Matrix
    threshold: float
    slope: float
    offset: float

    def scores(self, keys: Keys) -> Matrix:
        """The scores of some keys (n, d), (n,)."""
        scores: Matrix = keys @ self.direction
        return scores

    def probabilities(self, scores: Matrix) -> Matrix:
        """How probably photos with these scores (n,) belong to the look, 0..1."""
        odds: Matrix = 1 / (1 + np.exp(-(self.slope * scores + self.offset).clip(-30, 30)))
        return odds


def fit(wanted: Keys, unwanted: Keys, background: Background) -> Model:
    """The model for some examples, (p, d) with p > 0 and (q, d)."""
    examples = np.concatenate([wanted, unwanted]).astype(np.float64)
    targets = np.arange(len(examples)) < len(wanted)
    spread = background.inverse @ examples.T
    solution = np.linalg.inv(examples @ spread + np.eye(len(examples)))
    weights = solution @ targets
    direction = spread @ weights
    held_out = targets - weights / np.diag(solution)
    # The mean score of the wanted examples, by the model that knows them.
    threshold = UNCERTAIN * float((wanted @ direction).mean())
    unlike = float(np.quantile(background.sample @ direction, UNLIKE))
    slope, offset = _odds(held_out[: len(wanted)], held_out[len(wanted) :], unlike)
    return Model(direction, threshold, slope, offset)


def _odds(wanted: Matrix, unwanted: Matrix, unlike: float) -> tuple[float, float]:
    """Slope and offset of the log odds that a score is of the wanted kind, if the scores of both
    kinds are normal with one standard deviation (linear discriminant analysis in one dimension).
    """
    high = float(wanted.mean())
    low = float(unwanted.mean()) if len(unwanted) else unlike
    squares = float(((wanted - high) ** 2).sum() + ((unwanted - low) ** 2).sum())
    variance = (squares + SPREAD_WEIGHT * SPREAD**2) / (len(wanted) + len(unwanted) + SPREAD_WEIGHT)
    slope = max(high - low, LEAST_GAP) / variance
    prior = float(np.log((len(wanted) + 1) / (len(unwanted) + 1)))
    return slope, prior - slope * (high + low) / 2
