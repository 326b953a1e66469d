"""What the benchmarks of the store share: keys as an encoder makes them, and indexes of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from indexes import Index, merging, segments
from indexes.records import Record, id_key
from indexes.store import Txn
from mocosearch.encoder import Card, Encoder

AT_ONCE = 50_000
CLUSTERS = 20_000
INNER = 32


def clustered(
    count: int, dimension: int, seed: int = 0, clusters: int = CLUSTERS
) -> Iterator[np.ndarray]:
    """Unit keys, fp16 (n, dimension), in pieces: clusters on a subspace, a long tail of sizes.

    Synthetic: no collection here has a million photos. Nearest neighbours lie at cosines of
    about 0.5 to 0.9, as those of photos do; keys without any structure would have none.
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
    told = Card("none", 32, dimension, {}, 0, 0.0, 0.0, None, "benchmark", "2026-01-01")
    return Encoder(told, b"graph", b"weights")


def filled(folder: Path, count: int, dimension: int) -> Index:
    """An index of so many keys with records, its FAISS index not yet built."""
    index = Index.create(folder, unused_encoder(dimension))
    first = 1
    for keys in clustered(count, dimension):
        index.store.write(lambda txn, at=first, some=keys: put(txn, at, some))  # type: ignore[misc]
        first += len(keys)
    return index


def put(txn: Txn, first: int, keys: Any) -> None:
    """Photos with keys from an id on, as one exact segment."""
    for id, key in enumerate(keys, first):
        record = Record(640, 480, "JPEG", None, 100_000, f"{id:032x}", [])
        txn.put("images", id_key(id), record.to_bytes())
        txn.put("vectors", id_key(id), key.tobytes())
    segments.append(txn, range(first, first + len(keys)), keys)


def built(index: Index) -> None:
    """Make one index of them, of the kind that their number asks for."""
    merging.merge(index.store, everything=True)
    index.refresh()
