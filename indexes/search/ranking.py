"""Re-ranking: a better order of a query's first results, by the neighbours of each."""

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Ids, Keys

FIRST = 100
"""Results that are re-ranked."""
NEIGHBOURS, ALPHA = 3, 3
"""Nearest keys that are added to each key, weighted by their cosines to the power ALPHA."""
SAME = 0.95
"""From this cosine on, a key is nearly the same picture: it adds nothing and is left out."""


def best_of(scores: Keys, ids: Ids) -> tuple[Keys, Ids]:
    """The results (n, k) of several views of one query as one list, (m,) each, in descending order
    of score: each id once, with its best score. Empty places, of id 0, are left out.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    scores, ids = scores.ravel()[order], ids.ravel()[order]
    _, first = np.unique(ids, return_index=True)
    first = np.sort(first[ids[first] > 0])
    return scores[first], ids[first]


def rerank(views: Keys, keys: Keys) -> NDArray[np.int64]:
    """The rows of keys, float32 (n, d), best first, for the views of one query, float32 (q, d); all
    of unit length.

    The weighted nearest keys are added to each key and to each view, both within these keys alone:
    database-side augmentation and query expansion (Arandjelovic and Zisserman, "Three things
    everyone should know to improve object retrieval", 2012, section 4; weights of Radenovic et
    al., "Fine-tuning CNN image retrieval with no human annotation", 2019, section 3.4). A key's
    score is the cosine of the sums plus the plain cosine, each for its best view. The nearest key
    stays first: it may be the picture itself, where the query is a part of it.
    """
    cosines = _products(views, keys)
    plain = cosines.max(0)
    augmented = _augment(keys, _products(keys, keys), keys)
    scores = _products(_augment(views, cosines, keys), augmented).max(0) + plain
    order: NDArray[np.int64] = np.lexsort((-scores, plain < plain.max()))
    return order


def _products(some: Keys, keys: Keys) -> Keys:
    """All inner products, (m, n), computed in this thread. numpy's BLAS threads would wait 8 ms for
    cores on which the idle threads of FAISS and OpenVINO still spin.
    """
    products: Keys = np.einsum("md,nd->mn", some, keys)
    return products


def _augment(some: Keys, cosines: Keys, keys: Keys) -> Keys:
    """Each of some (m, d) plus its weighted NEIGHBOURS among keys (n, d), of unit length; cosines:
    (m, n), of both.
    """
    cosines = np.where(cosines < SAME, cosines.clip(0), np.float32(0))
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
    weights = np.take_along_axis(cosines, near, 1) ** ALPHA
    sums: Keys = some + np.einsum("mk,mkd->md", weights, keys[near])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums
