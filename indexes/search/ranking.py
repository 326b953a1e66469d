"""Re-ranking: a better order of a query's first results, by the neighbours of each."""

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Ids, Keys
from mocosearch.encoder.augmentation import augment

FIRST = 100
"""Results that are re-ranked."""
NEIGHBOURS = 3
"""Nearest keys that are added to each key and to each view."""


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

    The weighted nearest keys are added to each key and to each view, both within these keys alone
    (`augmentation.augment`). A key's score is the cosine of the sums plus the plain cosine, each
    for its best view. The nearest key stays first: it may be the picture itself, where the query
    is a part of it.
    """
    cosines = _products(views, keys)
    plain = cosines.max(0)
    augmented = augment(keys, _products(keys, keys), keys, NEIGHBOURS)
    queries = augment(views, cosines, keys, NEIGHBOURS)
    scores = _products(queries, augmented).max(0) + plain
    order: NDArray[np.int64] = np.lexsort((-scores, plain < plain.max()))
    return order


def _products(some: Keys, keys: Keys) -> Keys:
    """All inner products, (m, n), computed in this thread. numpy's BLAS threads would wait 8 ms for
    cores on which the idle threads of FAISS and OpenVINO still spin.
    """
    products: Keys = np.einsum("md,nd->mn", some, keys)
    return products
