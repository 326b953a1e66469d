"""FAISS indexes inside the store, opened where they lie in LMDB's memory map."""

import importlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import digest, id_key
from indexes.store.txn import Txn
from mocosearch.errors import Damaged

Keys = NDArray[np.float32]
Halves = NDArray[np.float16]
Ids = NDArray[np.uint64]

PARTS = (b"about", b"faiss", b"ids")
HIDDEN = b"hidden"
"""In `meta`: numbers of segments that a merge has built and not yet put in place."""
NONSENSE = (RuntimeError, MemoryError, UnicodeDecodeError)
"""What FAISS raises of bytes that it did not write; it quotes them, whatever they are."""


@dataclass(frozen=True)
class About:
    """How a segment was built, and what searching it needs."""

    kind: str
    """As FAISS's factory names it."""
    asked: str = "auto"
    """The kind that was wished for; where there were too few keys to train it, `kind` is exact."""
    settings: str = ""
    """FAISS's search parameters, as `nprobe=32,k_factor_rf=16`: found by tuning."""
    wanted: float = 1.0
    """The recall that was asked for, 0..1."""
    recall: float = 1.0
    """Share of the ten nearest keys that is found, measured when it was built."""


EXACT = About("SQfp16")


@dataclass(frozen=True)
class Segment:
    """A FAISS index over some keys and the ids of its rows; both are views."""

    ids: Ids
    index: Any
    about: About
    blob: memoryview
    """What the index reads from: it must live as long."""

    @classmethod
    def view(cls, ids: memoryview, blob: memoryview, about: About = EXACT) -> "Segment":
        """Without a copy: FAISS reads the codes where LMDB mapped them. Raises Damaged."""
        faiss, data = load_faiss(), np.frombuffer(blob, np.uint8)
        reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.nbytes)
        try:
            index = faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
            if about.settings:
                faiss.ParameterSpace().set_index_parameters(index, about.settings)
        except NONSENSE as error:
            raise _damaged("FAISS cannot read it") from error
        rows = np.frombuffer(ids, np.uint64)
        if index.ntotal != len(rows):
            raise _damaged(f"{index.ntotal} keys for {len(rows)} photos")
        return cls(rows, index, about, blob)

    def search(
        self, queries: Keys, k: int, deleted: Ids, only: Ids | None = None
    ) -> tuple[Keys, Ids]:
        """The k best by cosine that are not deleted and, where `only` is given, among those:
        scores and ids, (n, k) or narrower; an approximate kind may leave places empty, with
        score -inf and id 0, though it looks everywhere before it does.
        """
        gone = np.isin(self.ids, deleted, assume_unique=True) if len(deleted) else None
        if only is not None:
            out = ~np.isin(self.ids, only, assume_unique=True)
            gone = out if gone is None else gone | out
        # Settings are tuned for ten; fewer would leave an approximate kind too few candidates.
        k = max(k, 10) if self.about.settings else k
        k = min(k, len(self.ids) - (0 if gone is None else int(gone.sum())))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.uint64)
        try:
            scores, rows = self._best(queries, k, gone)
            if self.about.settings and (rows < 0).any():
                scores, rows = self._best(queries, k, gone, math.inf)
        except NONSENSE as error:
            raise _damaged("FAISS cannot search it") from error
        if rows.max(initial=-1) >= len(self.ids):
            raise _damaged("it names rows that are not there")
        found = rows >= 0
        return np.where(found, scores, -np.inf), np.where(found, self.ids[rows], 0)

    def _best(self, queries: Keys, k: int, gone: Any, more: float = 1.0) -> tuple[Any, Any]:
        none_gone = gone is None or not gone.any()
        if none_gone and more == 1:
            return tuple(self.index.search(queries, k))
        faiss, chosen = load_faiss(), None
        if not none_gone:
            bits = np.packbits(~gone, bitorder="little")
            chosen = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            # As many keys are looked at as without a mask, so that the recall stays.
            more = max(more, len(gone) / (len(gone) - gone.sum()))
        params = parameters(self.index, chosen, more)
        return tuple(self.index.search(queries, k, params=params))


def parameters(index: Any, chosen: Any, more: float = 1.0) -> Any:
    """FAISS's search parameters that search among some rows (`chosen`, or None for all), with the
    index's own settings, or in `more` times as many lists and neighbours, up to all of them.

    FAISS takes one kind of parameters for each kind of index, nested as those are.
    """
    faiss = load_faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        inner = parameters(index.base_index, chosen, more)
        return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexPreTransform):
        inner = parameters(index.index, chosen, more)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        nprobe = math.ceil(min(index.nlist, index.nprobe * more))
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=chosen)
    if isinstance(index, faiss.IndexHNSW):
        depth = math.ceil(min(index.ntotal, index.hnsw.efSearch * more))
        return faiss.SearchParametersHNSW(efSearch=depth, sel=chosen)
    return faiss.SearchParameters(sel=chosen)


def load_faiss() -> Any:
    """The faiss module, imported when it is first needed: a query has better to do until then.

    Its own type hints leave out its input, output and search parameters.
    """
    return importlib.import_module("faiss")


def exact(keys: Halves) -> memoryview:
    """A FAISS index as bytes: exact inner products of fp16 keys (n, d)."""
    index = exact_index(keys.shape[1])
    index.add(keys.astype(np.float32))
    return memoryview(load_faiss().serialize_index(index))


def exact_index(dimension: int) -> Any:
    """FAISS's index of exact inner products of fp16 keys, with none in it yet."""
    faiss = load_faiss()
    return faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )


def numbers(txn: Txn) -> list[bytes]:
    """The numbers of all segments, 4 bytes each, in the order that they were made."""
    return sorted(_written(txn) - hidden(txn))


def _written(txn: Txn) -> set[bytes]:
    return {key[:4] for key in txn.keys("segments")}


def hidden(txn: Txn) -> set[bytes]:
    """The numbers of segments that a merge has built and not yet put in place."""
    stored = bytes(txn.get("meta", HIDDEN) or b"")
    return {stored[at : at + 4] for at in range(0, len(stored), 4)}


def part(txn: Txn, number: bytes, name: bytes, *, whole: bool = False) -> memoryview:
    """One of a segment's PARTS, read from the disk when it is looked at, and at once where the
    `whole` of it will be. Raises Damaged where it is missing.
    """
    stored = txn.mapped("segments", number + name, whole=whole)
    if stored is None:
        raise _damaged(f"its {name.decode()} are missing")
    return stored


def about(txn: Txn, number: bytes) -> About:
    """How a segment was built. Raises Damaged."""
    told = _told(txn, number)
    try:
        found = About(**told["about"])
        as_written = told["digests"].get("about", _digest(found)) == _digest(found)
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged("what is said of it cannot be read") from error
    if not as_written:
        raise _damaged("what is said of it is not as written")
    return found


def intact(txn: Txn, number: bytes) -> bool:
    """Whether a segment's ids and FAISS index are, byte for byte, what was written."""
    try:
        about(txn, number)
        digests = _told(txn, number)["digests"]
        parts = {name: part(txn, number, name, whole=True) for name in PARTS[1:]}
        return all(digests[name.decode()] == digest(found) for name, found in parts.items())
    except (Damaged, KeyError):
        return False


def _told(txn: Txn, number: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(bytes(part(txn, number, b"about"))))
    except (ValueError, TypeError) as error:
        raise _damaged("what is said of it cannot be read") from error


def _digest(told: About) -> str:
    return digest(json.dumps(asdict(told), sort_keys=True).encode())


def view(txn: Txn, number: bytes) -> Segment:
    """One segment, which ends with its transaction."""
    told = about(txn, number)
    blob = part(txn, number, b"faiss", whole=told.kind == EXACT.kind)
    return Segment.view(part(txn, number, b"ids"), blob, told)


def all_segments(txn: Txn) -> list[Segment]:
    """Every segment of a snapshot; they end with its transaction."""
    return [view(txn, number) for number in numbers(txn)]


def put(
    txn: Txn, number: bytes, ids: bytes | memoryview, blob: bytes | memoryview, told: About
) -> None:
    """Write a segment with its digests."""
    digests = {"about": _digest(told), "ids": digest(ids), "faiss": digest(blob)}
    said = {"about": asdict(told), "digests": digests}
    txn.put("segments", number + b"about", json.dumps(said).encode())
    txn.put("segments", number + b"ids", ids)
    txn.put("segments", number + b"faiss", blob)


def remove(txn: Txn, number: bytes) -> None:
    """Take a segment out."""
    for name in PARTS:
        txn.delete("segments", number + name)


def append(txn: Txn, ids: Sequence[int], keys: Halves) -> None:
    """Make keys searchable as a segment of their own, exact; ids ascending and new."""
    put_new(txn, np.asarray(ids, np.uint64), exact(keys), EXACT)


def put_new(txn: Txn, ids: Ids, blob: bytes | memoryview, told: About) -> bytes:
    """Write a segment under the next free number, which is returned."""
    last = max(_written(txn), default=b"\0\0\0\0")
    number = (int.from_bytes(last, "big") + 1).to_bytes(4, "big")
    put(txn, number, ids.tobytes(), blob, told)
    return number


def put_hidden(txn: Txn, ids: Ids, blob: bytes | memoryview, told: About) -> None:
    """Write a segment that nobody sees before `reveal`, so that a merge into several holds one at
    a time in memory and still becomes visible as a whole.
    """
    number = put_new(txn, ids, blob, told)
    txn.put("meta", HIDDEN, bytes(txn.get("meta", HIDDEN) or b"") + number)


def reveal(txn: Txn) -> None:
    """Show what `put_hidden` wrote."""
    txn.delete("meta", HIDDEN)


def drop_hidden(txn: Txn) -> None:
    """Take out what an interrupted merge has left."""
    for number in hidden(txn):
        remove(txn, number)
    reveal(txn)


def read_keys(txn: Txn, ids: Ids, at_once: int = 16384) -> Iterator[Halves]:
    """The stored keys of some photos, fp16 (n, d), in parts. Raises Damaged."""
    for first in range(0, len(ids), at_once):
        rows = [txn.get("vectors", id_key(int(id))) for id in ids[first : first + at_once]]
        if any(row is None for row in rows):
            raise Damaged("the index holds a photo without a key", "remove it and index again")
        whole = b"".join(row for row in rows if row is not None)
        yield np.frombuffer(whole, np.float16).reshape(len(rows), -1)


def _damaged(what: str) -> Damaged:
    return Damaged(
        f"a search index in the store is damaged: {what}",
        "build it again from the stored keys: mocosearch verify --repair",
    )
