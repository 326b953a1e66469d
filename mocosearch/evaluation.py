"""How good keys are, with labels: precision at k, leave-one-out."""

from collections.abc import Sequence

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
    if len(keys) < 2:
        raise Unsuitable("precision needs at least 2 keys", "name a larger collection")
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
