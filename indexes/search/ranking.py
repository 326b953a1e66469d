"""A question's first results in a better order: by what lies around each of them."""

import numpy as np
from numpy.typing import NDArray

from indexes.search.segments import Ids, Keys

FIRST = 100
"""Results that are ranked again."""
NEIGHBOURS, ALPHA = 3, 3
"""Keys that join another, weighted by their cosines to this power."""
SAME = 0.95
"""From this cosine on it is all but the same picture, which tells nothing new and joins none."""


def best_of(scores: Keys, ids: Ids) -> tuple[Keys, Ids]:
    """The answers (n, k) of several looks as one, its scores falling: of each id the best score.

    Places that are empty, of id 0, are left out.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    scores, ids = scores.ravel()[order], ids.ravel()[order]
    _, first = np.unique(ids, return_index=True)
    first = np.sort(first[ids[first] > 0])
    return scores[first], ids[first]


def reranked(looks: Keys, keys: Keys) -> NDArray[np.int64]:
    """The rows of keys (n, d), best first, for one question of several looks (q, d); all of unit
    length.

    The nearest of the keys join each key and each look, weighted; what comes of that is compared,
    and the cosine of look and key itself is added: database-side augmentation and query expansion
    (Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval",
    2012, section 4; weights of Radenovic et al., "Fine-tuning CNN image retrieval with no human
    annotation", 2019, section 3.4), both within these keys alone. Each by the best of its looks.
    What is nearest stays first: it may be the picture itself, of which a part is asked for.
    """
    cosines = _products(looks, keys)
    own = cosines.max(0)
    joined = _joined(keys, _products(keys, keys), keys)
    likeness = _products(_joined(looks, cosines, keys), joined).max(0) + own
    order: NDArray[np.int64] = np.lexsort((-likeness, own < own.max()))
    return order


def _products(some: Keys, keys: Keys) -> Keys:
    """Of each with each, in this thread: the threads of numpy's BLAS wait 8 ms for a processor on
    which those of FAISS and OpenVINO still look out for work.
    """
    made: Keys = np.einsum("md,nd->mn", some, keys)
    return made


def _joined(some: Keys, cosines: Keys, keys: Keys) -> Keys:
    """Each of some (m, d) with its NEIGHBOURS among keys (n, d); cosines (m, n) of both."""
    cosines = np.where(cosines < SAME, cosines.clip(0), np.float32(0))
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
    weights = np.take_along_axis(cosines, near, 1) ** ALPHA
    made: Keys = some + np.einsum("mk,mkd->md", weights, keys[near])
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made
