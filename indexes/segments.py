"""FAISS indexes inside the store, opened where they lie in LMDB's memory map."""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.records import id_of
from indexes.store import Txn

Keys = NDArray[np.float32]
Ids = NDArray[np.uint64]

MOST_SEGMENTS = 8
MOST_KEYS = 1_000_000
"""Keys in one segment: at 256 dimensions half a gigabyte, far from LMDB's 4 GiB a value."""


@dataclass(frozen=True)
class Segment:
    """A FAISS index over some keys and the ids of its rows, ascending; both are views."""

    ids: Ids
    index: Any

    @classmethod
    def view(cls, ids: memoryview, blob: memoryview) -> "Segment":
        """Without a copy: FAISS reads the codes where LMDB mapped them."""
        faiss, data = _faiss(), np.frombuffer(blob, np.uint8)
        reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.nbytes)
        return cls(np.frombuffer(ids, np.uint64), faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC))

    def search(
        self, queries: Keys, k: int, deleted: Ids, only: Ids | None = None
    ) -> tuple[Keys, Ids]:
        """The k best by cosine that are not deleted and, where `only` is given, among those:
        scores and ids, (n, k) or narrower.
        """
        gone = np.isin(self.ids, deleted, assume_unique=True) if len(deleted) else None
        if only is not None:
            out = ~np.isin(self.ids, only, assume_unique=True)
            gone = out if gone is None else gone | out
        k = min(k, len(self.ids) - (0 if gone is None else int(gone.sum())))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.uint64)
        if gone is None or not gone.any():
            scores, rows = self.index.search(queries, k)
        else:
            faiss, bits = _faiss(), np.packbits(~gone, bitorder="little")
            chosen = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            scores, rows = self.index.search(queries, k, params=faiss.SearchParameters(sel=chosen))
        return scores, self.ids[rows]


def _faiss() -> Any:
    """The faiss module, imported when it is first needed: a query has better to do until then.

    Its own type hints leave out its input, output and search parameters.
    """
    return importlib.import_module("faiss")


def build(keys: NDArray[np.float16]) -> bytes:
    """A FAISS index as bytes: exact inner products of fp16 keys (n, d)."""
    faiss = _faiss()
    index = faiss.IndexScalarQuantizer(
        keys.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.add(keys.astype(np.float32))
    blob: bytes = faiss.serialize_index(index).tobytes()
    return blob


def all_segments(txn: Txn) -> list[Segment]:
    """Every segment of a snapshot; they end with its transaction."""
    stored = dict(txn.items("segments"))
    numbers = sorted({bytes(key)[:4] for key in stored})
    blobs = {bytes(key): value for key, value in stored.items()}
    return [Segment.view(blobs[n + b"ids"], blobs[n + b"faiss"]) for n in numbers]


def append(txn: Txn, ids: list[int], keys: NDArray[np.float16]) -> None:
    """Make keys searchable as a segment of their own; ids ascending and new."""
    last = max((bytes(key)[:4] for key, _ in txn.items("segments")), default=b"\0\0\0\0")
    number = (int.from_bytes(last, "big") + 1).to_bytes(4, "big")
    txn.put("segments", number + b"ids", np.asarray(ids, np.uint64).tobytes())
    txn.put("segments", number + b"faiss", build(keys))


def merge(txn: Txn, *, always: bool = False) -> bool:
    """Rebuild all segments from the stored keys where they are many or full of deletions."""
    segments, deleted = txn.count("segments") // 2, txn.count("deleted")
    keys = txn.count("vectors")
    if not always and segments <= MOST_SEGMENTS and deleted * 10 <= keys:
        return False
    for database in ("segments", "deleted"):
        for old in [bytes(key) for key, _ in txn.items(database)]:
            txn.delete(database, old)
    ids: list[int] = []
    rows: list[NDArray[np.float16]] = []
    for key, value in txn.items("vectors"):
        ids.append(id_of(key))
        rows.append(np.frombuffer(bytes(value), np.float16))
        if len(ids) == MOST_KEYS:
            append(txn, ids, np.stack(rows))
            ids, rows = [], []
    if ids:
        append(txn, ids, np.stack(rows))
    return True
