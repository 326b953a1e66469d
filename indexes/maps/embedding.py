"""Places of keys in the plane: t-SNE by openTSNE, and new keys among old ones.

t-SNE: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008. New keys: Poličar et
al., "openTSNE", JSS 2024, section 2.4. The neighbours come from FAISS.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.search.segments import load_faiss
from indexes.store.records import Keys

PERPLEXITY = 30.0
NEW_PERPLEXITY = 5.0
"""Of a new key, as openTSNE recommends."""
FEW = 10
"""Below so many keys there are too few neighbours for t-SNE; the principal axes serve instead."""
EXACT_BELOW = 20_000
"""Below so many keys, all are compared with all."""
LISTS_PER_ROOT = 4
PROBES = 16
"""Lists that are compared with a key, of 4 sqrt(n) lists."""
FIRST_STEPS, STEPS = 250, 500
EVERY = 10
"""Steps between two reports of the progress."""
BATCH = 20_000
"""New keys that are placed at one time."""

Points = NDArray[np.float64]
"""(n, 2)."""
Report = Callable[[float], None]
"""Gets the share that is done, 0..1."""


def embed(keys: Keys, threads: int, report: Report) -> Points:
    """A place for each of n keys, float32 (n, d) of unit length."""
    if len(keys) < FEW:
        return _axes(keys)
    # Importing openTSNE changes the warning filters of the whole process.
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.initialization import pca

    count = min(len(keys) - 1, int(3 * PERPLEXITY))
    affinities = PerplexityBasedNN(
        knn_index=_Neighbours(keys, count), perplexity=min(PERPLEXITY, count / 3), n_jobs=threads
    )
    report(0.1)
    steps = 0

    def count_steps(iteration: int, error: float, embedding: object) -> None:
        nonlocal steps
        steps += EVERY
        report(0.1 + 0.9 * min(steps / (FIRST_STEPS + STEPS), 1))

    method = TSNE(
        early_exaggeration_iter=FIRST_STEPS,
        n_iter=STEPS,
        n_jobs=threads,
        random_state=0,
        callbacks=count_steps,
        callbacks_every_iters=EVERY,
    )
    start = pca(keys, random_state=0)
    return np.array(method.fit(affinities=affinities, initialization=start), np.float64)


def extend(keys: Keys, points: Points, new: Keys, threads: int, report: Report) -> Points:
    """Places for new keys, float32 (m, d), among n keys with places, which stay where they are."""
    if len(keys) < FEW:
        raise ValueError(f"{len(keys)} keys are too few")
    from openTSNE import TSNEEmbedding

    affinities = _Affinities(keys, threads)
    pieces = []
    for start in range(0, len(new), BATCH):
        reference = TSNEEmbedding(points, affinities, n_jobs=threads, random_state=0)
        places = reference.transform(new[start : start + BATCH], perplexity=NEW_PERPLEXITY)
        # `transform` moves the reference to the origin.
        pieces.append(np.asarray(places) + (points[0] - np.asarray(reference)[0]))
        report(min((start + BATCH) / len(new), 1))
    return np.concatenate(pieces) if pieces else np.zeros((0, 2))


def _axes(keys: Keys) -> Points:
    """The keys along their two main axes."""
    points = np.zeros((len(keys), 2))
    if len(keys) > 1:
        centred = keys - keys.mean(axis=0)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
        points[:, : len(axes)] = centred @ axes.T
    return points


class _Neighbours:
    """The nearest keys of each key, as openTSNE asks for them: `KNNIndex` without its options."""

    def __init__(self, keys: Keys, k: int) -> None:
        self.n_samples, self.k = len(keys), k
        self._keys = keys
        self._index = _searchable(keys)

    def build(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows and distances of the k nearest other keys of each key."""
        rows, distances = self.query(self._keys, self.k + 1)
        # With copies, a key need not be its own first neighbour, or be among them at all.
        own = rows == np.arange(len(rows))[:, None]
        order = np.argsort(own, axis=1, kind="stable")[:, : self.k]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)

    def query(self, keys: Keys, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows and distances of the k nearest of its keys."""
        cosines, rows = self._index.search(keys, k)
        # The lists that are compared may hold fewer than k keys; the best one fills the rest.
        missing = rows < 0
        rows, cosines = (
            np.where(missing, rows[:, :1], rows),
            np.where(missing, cosines[:, :1], cosines),
        )
        return rows, np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0))


class _Affinities:
    """The affinities of new keys to keys that have places: `Affinities` of openTSNE."""

    def __init__(self, keys: Keys, threads: int) -> None:
        from scipy.sparse import csr_matrix

        self.n_samples, self._threads = len(keys), threads
        self._neighbours = _Neighbours(keys, 0)
        # openTSNE checks its shape, and reads it only to move the keys that have places.
        self.P = csr_matrix((len(keys), len(keys)))

    def to_new(
        self, keys: Keys, perplexity: float, return_distances: bool = False
    ) -> tuple[Any, NDArray[np.int64], NDArray[np.float64]]:
        """The affinities, and rows and distances of the nearest keys."""
        from openTSNE.affinity import joint_probabilities_nn

        count = min(self.n_samples, max(int(3 * perplexity), 25))
        rows, distances = self._neighbours.query(keys, count)
        few = min(count, max(int(3 * perplexity), 2))
        affinities = joint_probabilities_nn(
            rows[:, :few],
            distances[:, :few],
            [min(perplexity, few / 3)],
            symmetrize=False,
            normalization="point-wise",
            n_reference_samples=self.n_samples,
            n_jobs=self._threads,
        )
        return affinities, rows, distances


def _searchable(keys: Keys) -> Any:
    """A FAISS index of keys by inner product."""
    faiss = load_faiss()
    dimension = keys.shape[1]
    flat = faiss.IndexFlatIP(dimension)
    if len(keys) < EXACT_BELOW:
        flat.add(keys)
        return flat
    lists = int(LISTS_PER_ROOT * np.sqrt(len(keys)))
    index = faiss.IndexIVFFlat(flat, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = PROBES
    rows = np.random.default_rng(0).permutation(len(keys))[: 40 * lists]
    index.train(keys[rows])
    index.add(keys)
    return index
