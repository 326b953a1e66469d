"""Segments: FAISS indexes inside the store, read in place in LMDB's memory map."""

import importlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Ids, Keys, digest
from indexes.store.txn import Txn
from mocosearch.errors import Damaged
from mocosearch.processes import check_fork

Halves = NDArray[np.float16]

PARTS = (b"about", b"faiss", b"ids")
FEW = 10
"""Ids up to which comparing with each is faster than a table."""
CHECKED = 4 << 20
"""Bytes of a segment that a query compares with its digests: 8,000 photos, in 5 ms."""
SPREAD = 16
"""Most entries of a table per id; deletions leave gaps."""
NONSENSE = (RuntimeError, MemoryError, UnicodeDecodeError)
"""What FAISS raises for bytes that it did not write; it quotes them, so they may not be text."""


@dataclass(frozen=True)
class Space:
    """Where segments of one kind of key are stored."""

    database: str
    hidden: bytes
    """In `meta`: the numbers of segments that a merge has built and not yet put in place."""


PHOTOS = Space("segments", b"hidden")
REGIONS = Space("regions", b"hidden_regions")
"""Segments with several rows per photo, one for each of its regions: see `indexes.parts`."""


STORED_NAMES = {"plan_kind": "asked", "plan_recall": "wanted"}
"""Fields of `About` that are stored under another name, since the first format."""


@dataclass(frozen=True)
class About:
    """How a segment was built, and the settings to search it with."""

    kind: str
    """FAISS's factory string."""
    plan_kind: str = "auto"
    """The kind of the plan; `kind` is exact where there were too few keys to train it."""
    settings: str = ""
    """FAISS's search parameters by tuning, such as `nprobe=32,k_factor_rf=16`."""
    plan_recall: float = 1.0
    """The recall of the plan, 0..1."""
    recall: float = 1.0
    """The share of the ten nearest keys that a search finds, 0..1, measured after building."""

    def to_json(self) -> dict[str, Any]:
        """As stored."""
        return {STORED_NAMES.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "About":
        """The inverse of `to_json`. Raises TypeError for other names."""
        names = {stored: name for name, stored in STORED_NAMES.items()}
        return cls(**{names.get(name, name): value for name, value in stored.items()})


EXACT = About("SQfp16")


@dataclass(frozen=True)
class Selection:
    """The only rows of a segment that a search may return."""

    bits: NDArray[np.uint8]
    """One bit per row of the segment, the lowest bit first."""
    count: int
    """Number of rows with a set bit."""


@dataclass(frozen=True)
class Segment:
    """A FAISS index over some keys, and the ids of its photos, uint64 (n,); both are views.

    Each photo has the same number of rows, in the order of the ids.
    """

    ids: Ids
    index: Any
    about: About
    blob: memoryview
    """The bytes that the index reads; they must live as long as it."""
    rows: int = 1
    """Rows per photo."""

    @classmethod
    def view(
        cls, ids: memoryview, blob: memoryview, about: About = EXACT, space: Space = PHOTOS
    ) -> "Segment":
        """Open it without a copy: FAISS reads the codes in LMDB's map. Raises Damaged."""
        faiss, data = load_faiss(), np.frombuffer(blob, np.uint8)
        reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.nbytes)
        try:
            index = faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
            if about.settings:
                faiss.ParameterSpace().set_index_parameters(index, about.settings)
        except NONSENSE as error:
            raise _damaged("FAISS cannot read it") from error
        photos = np.frombuffer(ids, np.uint64)
        rows = index.ntotal // max(len(photos), 1) if space is REGIONS else 1
        if index.ntotal != rows * len(photos):
            raise _damaged(f"{index.ntotal} keys for {len(photos)} photos")
        return cls(photos, index, about, blob, rows)

    def select(self, deleted: Ids, only: Ids | None = None) -> Selection | None:
        """The rows that are not deleted and, where `only` is given, among those; None is all.

        deleted, only: ids in any order, each once.
        """
        mask = ~are_in(self.ids, deleted) if len(deleted) else None
        if only is not None:
            mask = are_in(self.ids, only) & (True if mask is None else mask)
        if mask is None or mask.all():
            return None
        mask = np.repeat(mask, self.rows) if self.rows > 1 else mask
        return Selection(np.packbits(mask, bitorder="little"), int(np.count_nonzero(mask)))

    def search(self, queries: Keys, k: int, selection: Selection | None = None) -> tuple[Keys, Ids]:
        """The k best rows by cosine, of a selection or of all: scores and ids, (n, k) or narrower.

        An approximate kind may leave places empty, with score -inf and id 0, but only after a
        search of all its lists. Raises Damaged.
        """
        scores, rows = self.search_rows(queries, k, selection)
        filled = rows >= 0
        return scores, np.where(filled, self.ids[rows // self.rows], 0)

    def search_rows(
        self, queries: Keys, k: int, selection: Selection | None = None
    ) -> tuple[Keys, NDArray[np.int64]]:
        """As `search`, with the numbers of the rows; -1 marks an empty place."""
        # Settings are tuned for ten; fewer would leave an approximate kind too few candidates.
        k = max(k, 10) if self.about.settings else k
        total = len(self.ids) * self.rows
        k = min(k, total if selection is None else selection.count)
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        try:
            scores, rows = self._best(queries, k, selection)
            if self.about.settings and (rows < 0).any():
                scores, rows = self._best(queries, k, selection, math.inf)
        except NONSENSE as error:
            raise _damaged("FAISS cannot search it") from error
        if rows.max(initial=-1) >= total:
            raise _damaged("it names rows that do not exist")
        return np.where(rows >= 0, scores, -np.inf), rows

    def _best(
        self, queries: Keys, k: int, selection: Selection | None, more: float = 1.0
    ) -> tuple[Any, Any]:
        if load_faiss().omp_get_max_threads() > 1:
            check_fork("faiss")
        if selection is None and more == 1:
            return tuple(self.index.search(queries, k))
        faiss, selector = load_faiss(), None
        if selection is not None:
            bits = selection.bits
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            # Compare with as many keys as without a selection, so that the recall stays.
            more = max(more, len(self.ids) * self.rows / selection.count)
        params = parameters(self.index, selector, more)
        return tuple(self.index.search(queries, k, params=params))


def are_in(ids: Ids, some: Ids) -> NDArray[np.bool_]:
    """Which ids are among some others, bool (n,).

    A twelfth of the time of np.isin for a million ids of which every second is among them, and
    without its import of numpy.ma, which takes longer than a search.
    """
    if len(some) < FEW:
        mask = np.zeros(len(ids), bool)
        for id in some:
            mask |= ids == id
        return mask
    low, high = int(some.min()), int(some.max())
    if high - low > SPREAD * (len(ids) + len(some)):
        return np.isin(ids, some)
    # A table from the id before the lowest to the one after the highest, both outside.
    table = np.zeros(high - low + 3, bool)
    before = np.uint64(low - 1)
    table[(some - before).view(np.int64)] = True
    return table.take((ids - before).view(np.int64), mode="clip")


def parameters(index: Any, selector: Any, more: float = 1.0) -> Any:
    """FAISS's search parameters for the rows of a selector, or for all where it is None, with the
    index's own settings or `more` times as many lists and neighbours, up to all of them.

    FAISS has a class of parameters for each class of index, nested like the indexes.
    """
    faiss = load_faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        inner = parameters(index.base_index, selector, more)
        return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexPreTransform):
        inner = parameters(index.index, selector, more)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        nprobe = math.ceil(min(index.nlist, index.nprobe * more))
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
    if isinstance(index, faiss.IndexHNSW):
        depth = math.ceil(min(index.ntotal, index.hnsw.efSearch * more))
        return faiss.SearchParametersHNSW(efSearch=depth, sel=selector)
    return faiss.SearchParameters(sel=selector)


def load_faiss() -> Any:
    """The faiss module, imported at first use, because its import delays a query.

    Typed as Any: its type hints lack its input, output and search parameters.
    """
    return importlib.import_module("faiss")


def exact(keys: Halves) -> memoryview:
    """An exact FAISS index of keys, fp16 (n, d), as bytes."""
    index = exact_index(keys.shape[1])
    index.add(keys.astype(np.float32))
    return memoryview(load_faiss().serialize_index(index))


def exact_index(dimension: int) -> Any:
    """An empty FAISS index that computes exact inner products of fp16 keys."""
    faiss = load_faiss()
    return faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )


def numbers(txn: Txn, space: Space = PHOTOS) -> list[bytes]:
    """The numbers of all visible segments, 4 bytes each, oldest first."""
    return sorted(_written(txn, space) - hidden(txn, space))


def _written(txn: Txn, space: Space) -> set[bytes]:
    return {key[:4] for key in txn.keys(space.database)}


def hidden(txn: Txn, space: Space = PHOTOS) -> set[bytes]:
    """The numbers of the segments that `put_hidden` wrote."""
    stored = bytes(txn.get("meta", space.hidden) or b"")
    return {stored[at : at + 4] for at in range(0, len(stored), 4)}


def part(
    txn: Txn, number: bytes, name: bytes, *, whole: bool = False, space: Space = PHOTOS
) -> memoryview:
    """One of a segment's PARTS; the disk is read when a page is used. whole: all of it will be
    read soon. Raises Damaged where it is missing.
    """
    stored = txn.view(space.database, number + name, whole=whole)
    if stored is None:
        raise _damaged(f"its {name.decode()} are missing")
    return stored


def about(txn: Txn, number: bytes, space: Space = PHOTOS) -> About:
    """How a segment was built. Raises Damaged."""
    description = _description(txn, number, space)
    try:
        about = About.from_json(description["about"])
        intact = description["digests"].get("about", _digest(about)) == _digest(about)
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged("its description cannot be read") from error
    if not intact:
        raise _damaged("its description has changed since it was written")
    return about


def intact(txn: Txn, number: bytes, space: Space = PHOTOS) -> bool:
    """Whether a segment's ids and FAISS index have the digests that were written with them."""
    try:
        about(txn, number, space)
        digests = _description(txn, number, space)["digests"]
        parts = {name: part(txn, number, name, whole=True, space=space) for name in PARTS[1:]}
        return all(digests[name.decode()] == digest(data) for name, data in parts.items())
    except (Damaged, KeyError):
        return False


def _description(txn: Txn, number: bytes, space: Space) -> dict[str, Any]:
    try:
        return dict(json.loads(bytes(part(txn, number, b"about", space=space))))
    except (ValueError, TypeError) as error:
        raise _damaged("its description cannot be read") from error


def _digest(about: About) -> str:
    return digest(json.dumps(about.to_json(), sort_keys=True).encode())


def view(txn: Txn, number: bytes, space: Space = PHOTOS) -> Segment:
    """One segment, valid as long as its transaction. A small one is compared with its digests, once
    per process. Raises Damaged.
    """
    how = about(txn, number, space)
    sizes = [len(part(txn, number, name, space=space)) for name in PARTS[1:]]
    name = str(_description(txn, number, space)["digests"])
    if sum(sizes) <= CHECKED and name not in txn.verified:
        if not intact(txn, number, space):
            raise _damaged("it differs from its digests")
        txn.verified.add(name)
    blob = part(txn, number, b"faiss", whole=how.kind == EXACT.kind, space=space)
    return Segment.view(part(txn, number, b"ids", space=space), blob, how, space)


def all_segments(txn: Txn, space: Space = PHOTOS) -> list[Segment]:
    """Every visible segment, valid as long as the transaction. Raises Damaged."""
    return [view(txn, number, space) for number in numbers(txn, space)]


def ids_of_all(txn: Txn, space: Space = PHOTOS) -> Ids:
    """The ids of the photos of every visible segment, uint64 (n,)."""
    some = [part(txn, number, b"ids", space=space) for number in numbers(txn, space)]
    return np.frombuffer(b"".join(map(bytes, some)), np.uint64)


def put(
    txn: Txn,
    number: bytes,
    ids: bytes | memoryview,
    blob: bytes | memoryview,
    about: About,
    space: Space = PHOTOS,
) -> None:
    """Write a segment with its digests."""
    digests = {"about": _digest(about), "ids": digest(ids), "faiss": digest(blob)}
    description = {"about": about.to_json(), "digests": digests}
    txn.put(space.database, number + b"about", json.dumps(description).encode())
    txn.put(space.database, number + b"ids", ids)
    txn.put(space.database, number + b"faiss", blob)


def remove(txn: Txn, number: bytes, space: Space = PHOTOS) -> None:
    """Delete a segment."""
    for name in PARTS:
        txn.delete(space.database, number + name)


def append(txn: Txn, ids: Sequence[int], keys: Halves) -> None:
    """Make keys, fp16 (n, d), searchable as an exact segment; ids ascending and new."""
    put_new(txn, np.asarray(ids, np.uint64), exact(keys), EXACT)


def put_new(
    txn: Txn, ids: Ids, blob: bytes | memoryview, about: About, space: Space = PHOTOS
) -> bytes:
    """Write a segment under the next free number; returns the number."""
    last = max(_written(txn, space), default=b"\0\0\0\0")
    number = (int.from_bytes(last, "big") + 1).to_bytes(4, "big")
    put(txn, number, ids.tobytes(), blob, about, space)
    return number


def put_hidden(txn: Txn, ids: Ids, blob: bytes | memoryview, about: About) -> None:
    """Write a segment that is invisible until `reveal`. So a merge into several segments has one
    at a time in memory, and all become visible at once.
    """
    number = put_new(txn, ids, blob, about)
    txn.put("meta", PHOTOS.hidden, bytes(txn.get("meta", PHOTOS.hidden) or b"") + number)


def reveal(txn: Txn) -> None:
    """Make visible what `put_hidden` wrote."""
    txn.delete("meta", PHOTOS.hidden)


def drop_hidden(txn: Txn) -> None:
    """Delete what an interrupted merge left."""
    for number in hidden(txn):
        remove(txn, number)
    reveal(txn)


def read_keys(txn: Txn, ids: Ids, at_once: int = 16384) -> Iterator[Halves]:
    """The stored keys of some photos, fp16 (n, d), in pieces of at_once. Raises Damaged where a
    photo has none.
    """
    names = ids.astype(">u8").view("V8").tolist()
    for first in range(0, len(ids), at_once):
        some = names[first : first + at_once]
        rows = txn.get_many("vectors", some)
        if len(rows) < len(some):
            raise Damaged("the index holds a photo without a key", "remove it and index again")
        yield np.frombuffer(b"".join(rows), np.float16).reshape(len(rows), -1)


def _damaged(what: str) -> Damaged:
    return Damaged(
        f"a search index in the store is damaged: {what}",
        "build it again from the stored keys: mocosearch verify --repair",
    )
