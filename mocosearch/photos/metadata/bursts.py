"""Bursts: photos taken within seconds of each other with the same camera."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SECONDS = 3.0
"""Longest pause between two consecutive photos of a burst."""


def bursts(
    taken: Sequence[str | None], cameras: Sequence[str | None], seconds: float = SECONDS
) -> NDArray[np.int64]:
    """A number for each photo, (n,), equal for photos of one burst and only for these.

    taken: ISO 8601, with or without an offset from UTC. A photo without a time or a camera is a
    burst of its own. Times with an offset are not compared with times without one.
    """
    n = len(taken)
    numbers = np.arange(n, dtype=np.int64)
    shots = sorted(
        (camera, moment.tzinfo is not None, moment.timestamp(), i)
        for i, (time, camera) in enumerate(zip(taken, cameras, strict=True))
        if time is not None and camera is not None
        for moment in [datetime.fromisoformat(time)]
    )
    for (*source_i, time_i, i), (*source_j, time_j, j) in pairwise(shots):
        if source_i == source_j and time_j - time_i <= seconds:
            numbers[j] = numbers[i]
    return numbers
