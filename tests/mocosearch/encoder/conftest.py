"""Features of photos of several classes, and how well their keys retrieve."""

from collections.abc import Callable

import numpy as np
import pytest

from mocosearch.encoder.whitening import Whitening
from mocosearch.evaluation import precision_at

D = 24
Labelled = tuple[np.ndarray, np.ndarray]


def _classes(n: int, seed: int = 0, count: int = 12) -> Labelled:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % count
    centres = np.random.default_rng(99).standard_normal((count, D // 3))
    x = np.concatenate([centres[labels], np.zeros((n, D - D // 3))], 1)
    noise = rng.standard_normal((n, D)) * np.where(np.arange(D) < D // 3, 0.25, 0.6)
    return (x + noise).astype(np.float32), labels


@pytest.fixture(scope="session")
def classes() -> Callable[..., Labelled]:
    """classes(n, seed): features whose classes differ in a third of the dimensions, and the photos
    of a class in all others; and the classes.
    """
    return _classes


@pytest.fixture(scope="session")
def precision_at_10() -> Callable[..., float]:
    """precision_at_10(white, features, labels), leave-one-out."""

    def precision(white: Whitening, features: np.ndarray, labels: np.ndarray) -> float:
        return precision_at(white.keys(features), labels.tolist())[10]

    return precision
