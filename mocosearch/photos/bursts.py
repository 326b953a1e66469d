"""Photos of one burst: taken within seconds of each other by the same camera."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SECONDS = 3.0
"""Longest pause between two shots of a burst."""


def bursts(
    taken: Sequence[str | None], cameras: Sequence[str | None], seconds: float = SECONDS
) -> NDArray[np.int64]:
    """A number a photo, (n,), the same for photos of one burst and for no others.

    taken: ISO 8601, with or without an offset from UTC; a photo without a time or a camera is
    a burst of its own. Times with and without an offset are not compared with each other.
    """
    n = len(taken)
    numbers = np.arange(n, dtype=np.int64)
    shots = sorted(
        (camera, moment.tzinfo is not None, moment.timestamp(), i)
        for i, (time, camera) in enumerate(zip(taken, cameras, strict=True))
        if time is not None and camera is not None
        for moment in [datetime.fromisoformat(time)]
    )
    for (*before, then, i), (*after, now, j) in pairwise(shots):
        if before == after and now - then <= seconds:
            numbers[j] = numbers[i]
    return numbers
