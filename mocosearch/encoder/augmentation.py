"""Keys augmented by their neighbours: photos of the same kind come closer together.

Database-side augmentation, and query expansion for queries (Arandjelovic and Zisserman, "Three
things everyone should know to improve object retrieval", 2012, section 4; weights of
arXiv:1711.02512, section 3.4).
"""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.float32]

ALPHA = 3
"""Neighbours are weighted by their cosines to this power."""
SAME = 0.95
"""From this cosine on, a key is nearly the same picture: it adds nothing and is left out."""


def augment(some: Keys, cosines: Keys, keys: Keys, neighbours: int) -> Keys:
    """Each of some (m, d) plus its weighted nearest keys, of unit length.

    cosines: (m, n), of some and keys (n, d), of unit length. neighbours: keys that are added.
    """
    cosines = np.where(cosines < SAME, cosines.clip(0), np.float32(0))
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :neighbours]
    weights = np.take_along_axis(cosines, near, 1) ** ALPHA
    sums: Keys = some + np.einsum("mk,mkd->md", weights, keys[near])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums
