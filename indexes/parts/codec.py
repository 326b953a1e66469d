"""From features of regions to codes: a FAISS index that whitens, divides into lists and quantises.

The first photos train it. Every segment of regions is a copy of it with its own codes, so merging
segments moves codes and computes none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from indexes.search.segments import Segment, load_faiss
from indexes.store.features import Features
from indexes.store.txn import Txn
from mocosearch.encoder import whitening

DIMENSION, BYTES = 56, 14
"""Dimension of a region's key, and bytes of its code: 22 with the number that FAISS stores. 65
regions then take 1.4 KiB per photo. FAISS has fast code for 4 numbers per byte: with 70 numbers, a
code took three times as long and found no more (docs/benchmarks.md)."""
LISTS = 1024
"""Most lists that regions are divided into. Of 6.5 million regions, those of 100,000 photos, a
search compares PROBES / LISTS."""
PER_LIST = 25
"""Regions per list in training. FAISS asks for 39, which finds no more."""
PROBES = 16
TRAINED = LISTS * PER_LIST
"""Most regions that a codec is trained on."""
ITERATIONS = 5
"""Of k-means for lists and codes. With 10, twice as many regions, 70 numbers and two threads on a
busy machine, training took 13 s of processor time instead of 3, and found no more."""
CENTROIDS = 256
"""Of a byte of a code, and so the fewest regions that train one."""
PER_CENTROID = 50
"""Regions that train a centroid of a code."""
KIND = f"IVF,PQ{BYTES}"
SETTINGS = f"nprobe={PROBES}"
_NAME = b"region_codec"


def train(features: Features) -> Any:
    """An empty index for features of regions, (n, D): whitening, unit length, lists, codes."""
    # Threads that wait for each other take several times as long as they compute.
    with threadpool_limits(1):
        return _train(features)


def _train(features: Features) -> Any:
    faiss, random = load_faiss(), np.random.default_rng(0)
    rows = np.sort(random.permutation(len(features))[:TRAINED])
    some = features[rows]
    white = whitening.fit(some, DIMENSION)
    keys = white.keys(some)
    if len(keys) < CENTROIDS:
        more = np.resize(keys, (CENTROIDS, keys.shape[1]))
        keys = more + 0.01 * random.standard_normal(more.shape).astype(np.float32)
    dimension = keys.shape[1]
    lists = min(LISTS, 1 << max(0, (len(keys) // PER_LIST).bit_length() - 1))
    quantiser = faiss.IndexFlatIP(dimension)
    codes = next(size for size in range(min(BYTES, dimension), 0, -1) if dimension % size == 0)
    ivf = faiss.IndexIVFPQ(quantiser, dimension, lists, codes, 8, faiss.METRIC_INNER_PRODUCT)
    # Few regions are trained on as they are; FAISS would warn on stderr.
    ivf.cp.min_points_per_centroid = ivf.pq.cp.min_points_per_centroid = 1
    ivf.pq.cp.max_points_per_centroid = PER_CENTROID
    ivf.cp.niter = ivf.pq.cp.niter = ITERATIONS
    ivf.train(keys)
    linear = faiss.LinearTransform(features.shape[1], dimension, True)
    faiss.copy_array_to_vector(np.ascontiguousarray(white.projection.T).ravel(), linear.A)
    faiss.copy_array_to_vector(-(white.centre @ white.projection), linear.b)
    linear.is_trained = True
    index = faiss.IndexPreTransform(ivf)
    index.prepend_transform(faiss.NormalizationTransform(dimension))
    index.prepend_transform(linear)
    return index


def save(txn: Txn, index: Any) -> None:
    """Store a trained codec."""
    txn.put("meta", _NAME, bytes(load_faiss().serialize_index(index)))


def load(txn: Txn) -> Any | None:
    """The codec, empty; None where none is trained yet."""
    stored = txn.get("meta", _NAME)
    if stored is None:
        return None
    return load_faiss().deserialize_index(np.frombuffer(bytes(stored), np.uint8))


def is_trained(txn: Txn) -> bool:
    """Whether there is a codec."""
    return txn.get("meta", _NAME) is not None


def drop(txn: Txn) -> None:
    """Delete the codec; no segment of regions may be left."""
    txn.delete("meta", _NAME)


def encode(codec: Any, features: Features) -> memoryview:
    """A FAISS index with the codes of features, (n, D), as bytes; the codec stays empty."""
    with threadpool_limits(1):
        codec.add(np.ascontiguousarray(features, np.float32))
    try:
        return memoryview(load_faiss().serialize_index(codec))
    finally:
        codec.reset()


def join(codec: Any, parts: Sequence[Segment], masks: Sequence[NDArray[np.bool_]]) -> memoryview:
    """One FAISS index with the rows of some segments' photos, as bytes.

    masks: which photos of each segment to take, bool (n,). The rows are numbered anew in the order
    of the segments. The codec stays empty.
    """
    faiss = load_faiss()
    lists = faiss.extract_index_ivf(codec)
    first = 0
    for part, mask in zip(parts, masks, strict=True):
        rows = np.repeat(mask, part.rows)
        numbers = np.where(rows, first + np.cumsum(rows) - 1, -1)
        source = faiss.extract_index_ivf(part.index).invlists
        for at in range(lists.nlist):
            _copy_list(source, lists, at, numbers)
        first += int(rows.sum())
    lists.ntotal = codec.ntotal = first
    try:
        return memoryview(faiss.serialize_index(codec))
    finally:
        codec.reset()


def _copy_list(source: Any, target: Any, at: int, numbers: NDArray[np.int64]) -> None:
    """Add one list's codes to another index. numbers: the new ones of the rows, or -1."""
    faiss, size = load_faiss(), source.list_size(at)
    if not size:
        return
    rows = numbers[faiss.rev_swig_ptr(source.get_ids(at), size)]
    codes = faiss.rev_swig_ptr(source.get_codes(at), size * target.code_size)
    codes = np.ascontiguousarray(codes.reshape(size, -1)[rows >= 0])
    rows = np.ascontiguousarray(rows[rows >= 0])
    if len(rows):
        swig = faiss.swig_ptr
        target.invlists.add_entries(at, len(rows), swig(rows), swig(codes))
