"""Shared by the benchmarks of search: synthetic keys like an encoder's, and indexes of them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import middle
from indexes import Index
from indexes.search import segments
from indexes.store.records import Record, id_key
from indexes.store.txn import Txn
from mocosearch.encoder import Card, Encoder

AT_ONCE = 50_000
CLUSTERS = 20_000
INNER = 32
NEAREST = 10


def clustered(
    count: int, dimension: int, seed: int = 0, clusters: int = CLUSTERS
) -> Iterator[np.ndarray]:
    """Unit keys, fp16 (n, dimension), in pieces: clusters on a subspace, with a long tail of sizes.

    Nearest neighbours have cosines of about 0.5 to 0.9, as those of photos do; in keys without
    structure they would not.
    """
    fixed, chance = np.random.default_rng(12345), np.random.default_rng(seed)
    base = fixed.standard_normal((INNER, dimension)).astype(np.float32)
    centres = fixed.standard_normal((clusters, INNER)).astype(np.float32) @ base
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    for first in range(0, count, AT_ONCE):
        n = min(AT_ONCE, count - first)
        which = (chance.random(n) ** 2 * clusters).astype(int)
        noise = chance.standard_normal((n, INNER)).astype(np.float32) @ base
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        grain = chance.standard_normal((n, dimension)).astype(np.float32) / np.sqrt(dimension)
        keys = centres[which] + 0.6 * noise + 0.4 * grain
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        yield keys.astype(np.float16)


def unused_encoder(dimension: int) -> Encoder:
    """An encoder that is never run."""
    card = Card("none", 32, dimension, {}, 0, 0.0, 0.0, None, "benchmark", "2026-01-01")
    return Encoder(card, b"graph", b"weights")


def plain_record(id: int) -> Record:
    """A record without a path."""
    return Record(640, 480, "JPEG", None, 100_000, f"{id:032x}", [])


def create_index(
    folder: Path,
    count: int,
    dimension: int,
    record: Callable[[int], Record] = plain_record,
) -> Index:
    """An index of so many keys with records, its FAISS index not yet built."""
    index = Index.create(folder, unused_encoder(dimension))
    first = 1
    for keys in clustered(count, dimension):

        def change(txn: Txn, first: int = first, keys: Any = keys) -> None:
            put(txn, first, keys, record)

        index.store.write(change)
        first += len(keys)
    return index


def put(txn: Txn, first: int, keys: Any, record: Callable[[int], Record] = plain_record) -> None:
    """Photos with keys from an id on, as one exact segment."""
    for id, key in enumerate(keys, first):
        txn.put("images", id_key(id), record(id).to_bytes())
        txn.put("vectors", id_key(id), key.tobytes())
    segments.append(txn, range(first, first + len(keys)), keys)


def merge_all(index: Index) -> None:
    """Merge all segments into one, of the kind that `auto` chooses for the size."""
    index.merge(everything=True)


def stored_keys(index: Index) -> Iterator[np.ndarray]:
    """All keys, fp16 (n, dimension), in pieces."""
    ids = np.arange(1, index.txn.count("vectors") + 1, dtype=np.uint64)
    return segments.read_keys(index.txn, ids)


def nearest(index: Index, queries: Any) -> Any:
    """The rows of each query's NEAREST keys, by comparison with every stored key."""
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    first = 0
    for piece in stored_keys(index):
        cosines = queries @ piece.astype(np.float32).T
        best = np.argpartition(-cosines, min(NEAREST, len(piece) - 1), axis=1)[:, :NEAREST]
        scores = np.concatenate([scores, np.take_along_axis(cosines, best, 1)], 1)
        rows = np.concatenate([rows, best + first], 1)
        keep = np.argsort(-scores, axis=1)[:, :NEAREST]
        scores, rows = np.take_along_axis(scores, keep, 1), np.take_along_axis(rows, keep, 1)
        first += len(piece)
    return rows


def searcher(index: Index) -> Callable[[Any], Any]:
    """From queries (n, dimension) to the rows of their results in all segments of an index."""
    opened = index.snapshot.segments

    def search(some: Any) -> Any:
        results = [segment.search(some, NEAREST) for segment in opened]
        scores = np.concatenate([s for s, _ in results], 1)
        ids = np.concatenate([i for _, i in results], 1)
        best = np.argsort(-scores, axis=1)[:, :NEAREST]
        return np.take_along_axis(ids, best, 1).astype(np.int64) - 1

    return search


def time_queries(
    way: Callable[[Any], Any], queries: Any, truth: Any, repeats: int = 1
) -> tuple[float, float, float]:
    """Milliseconds per query (median of 300), queries per second in a batch, and the recall."""
    way(queries[:10])
    ones, batches = [], []
    for query in queries[:300]:
        begun = time.perf_counter()
        way(query[None])
        ones.append(1000 * (time.perf_counter() - begun))
    for _ in range(repeats):
        begun = time.perf_counter()
        results = way(queries)
        batches.append(len(queries) / (time.perf_counter() - begun))
    return middle(ones), max(batches), recall_of(results, truth)


def recall_of(results: Any, truth: Any) -> float:
    """The share of the NEAREST true neighbours in the results, for as many queries as there are
    results.
    """
    pairs = zip(results, truth, strict=False)
    return float(np.mean([len(set(f) & set(t)) / NEAREST for f, t in pairs]))
