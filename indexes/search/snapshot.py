"""A snapshot: one thread's view of an index, with everything that was opened in it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar
from weakref import WeakSet

import numpy as np

from indexes.search import merging, segments
from indexes.search.filters import Where, admitted
from indexes.search.segments import Halves, Segment, Selection
from indexes.search.significance import Significance, load_significance
from indexes.store.encoder import encoder_version
from indexes.store.environment import Store
from indexes.store.records import Ids, Keys, PathEntry, Record, SkippedFile, id_key, id_of, path_key
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.errors import Damaged, NotFound
from mocosearch.photos.scan import unicode_forms

EXACT = 500
"""If a filter admits at most this many photos, the query is compared with each stored key, whatever
kind the index is. Each key is read from its own place in the store, at 9 us; a search with a mask
reads them together and finds as many."""
FILTERS = 8
"""Filters whose photos a snapshot caches; each takes up to 8 bytes per photo."""

T = TypeVar("T")


class Snapshot:
    """A consistent state of an index, for one thread. What is costly to open is opened once.

    It is the `View` of one index.
    """

    def __init__(self, txn: Txn) -> None:
        self.txn = txn
        self.ended = False
        self._segments: list[Segment] | None = None
        self._regions: list[Segment] | None = None
        self._roots: Roots | None = None
        self._deleted: Ids | None = None
        self._resolved: dict[Where, Where] = {}
        self._among: dict[Where, Ids] = {}
        self._selections: dict[Where, list[Selection | None]] = {}

    def end(self) -> None:
        """Close the transaction; its segments are invalid afterwards."""
        self.ended = True
        self._segments = self._regions = None
        self.txn.raw.abort()

    @property
    def parts(self) -> "list[Snapshot]":
        """This index alone."""
        return [self]

    @property
    def version(self) -> str:
        """Differs where anything that is stored differs: the file and the number of its commit."""
        return self.txn.version

    @property
    def encoder_version(self) -> bytes:
        """Differs where the encoder differs."""
        return encoder_version(self.txn)

    @property
    def segments(self) -> list[Segment]:
        """The FAISS indexes, opened at the first call. Raises Damaged."""
        if self._segments is None:
            self._segments = segments.all_segments(self.txn)
        return self._segments

    @property
    def regions(self) -> list[Segment]:
        """The FAISS indexes of regions, opened at the first call. Raises Damaged."""
        if self._regions is None:
            self._regions = segments.all_segments(self.txn, segments.REGIONS)
        return self._regions

    @property
    def roots(self) -> Roots:
        """The folders of the index, at their present paths."""
        if self._roots is None:
            self._roots = Roots.of(self.txn)
        return self._roots

    @property
    def significance(self) -> Significance:
        """How unusual a score is in this collection."""
        return load_significance(self.txn)

    def __len__(self) -> int:
        """Photos with a key; files of the same content are one photo. A deleted one counts until
        the end of the run that deletes it.
        """
        return self.txn.count("images")

    def deleted(self) -> Ids:
        """The ids of deleted photos whose keys are still in a segment, ascending."""
        if self._deleted is None:
            self._deleted = merging.deleted_ids(self.txn)
        return self._deleted

    def among(self, where: Where) -> Ids:
        """The ids of the photos that meet all conditions, uint64 (n,), ascending. Raises Damaged,
        and Unsuitable for a time that is not one.
        """
        return _cached(self._among, where, self._find)

    def _find(self, where: Where) -> Ids:
        ids, deleted = admitted(self.txn, self.roots, where), self.deleted()
        return ids[~segments.are_in(ids, deleted)] if len(deleted) else ids

    def resolve(self, where: Where) -> Where:
        """The same conditions with folders as the index spells them: see `resolve`."""
        if not (where.under or where.not_under) and where.format is None:
            return where
        return _cached(self._resolved, where, self._resolve)

    def _resolve(self, where: Where) -> Where:
        from indexes.search.resolve import resolve

        return resolve(self.txn, self.roots, where, lambda path: self.entry(path) is not None)

    def selections(self, where: Where | None = None) -> list[Selection | None]:
        """For each segment, the rows of the photos that are not deleted and meet all conditions;
        None where these are all rows. Raises what `among` raises.
        """
        return _cached(self._selections, where or Where(), self._select)

    def _select(self, where: Where) -> list[Selection | None]:
        only = self.among(where) if where else None
        return [segment.select(self.deleted(), only) for segment in self.segments]

    def search(self, keys: Keys, k: int, where: Where | None) -> tuple[Keys, Ids]:
        """The k nearest photos to each of the keys: see `View.search`."""
        only = self.among(where) if where else None
        if only is not None and len(only) <= EXACT:
            parts = [self._compare(keys, only)] if len(only) else []
        else:
            rows = zip(self.segments, self.selections(where), strict=True)
            parts = [segment.search(keys, k, selection) for segment, selection in rows]
        return best(parts, len(keys), k)

    def _compare(self, keys: Keys, ids: Ids) -> tuple[Keys, Ids]:
        return keys @ self.keys(ids).T, np.broadcast_to(ids, (len(keys), len(ids)))

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """The stored keys of some photos, float32 (n, d). Raises Damaged for an unknown id."""
        halves = list(self.read_keys(np.asarray(ids, np.uint64)))
        return np.concatenate(halves).astype(np.float32)

    def read_keys(self, ids: Ids) -> Iterator[Halves]:
        """The same, fp16, in pieces."""
        return segments.read_keys(self.txn, ids)

    def has(self, id: int) -> bool:
        """Whether there is a photo with this id."""
        return self.txn.get("images", id_key(id)) is not None

    def record(self, id: int) -> Record:
        """The facts of a photo, with absolute paths. Raises Damaged for an unknown id."""
        stored = self.txn.get("images", id_key(int(id)))
        if stored is None:
            raise Damaged(f"the index holds no record of id {id}", "remove it and index again")
        record = Record.from_bytes(stored)
        return replace(record, paths=[self.roots.path(path) for path in record.paths])

    def id_of(self, digest: str) -> int | None:
        """The id of the photo with this content; None where there is none."""
        stored = self.txn.get("digests", bytes.fromhex(digest))
        return None if stored is None else id_of(stored)

    def entry(self, path: str) -> PathEntry | None:
        """The id, size and times of the file at an absolute path; None where it has no key."""
        for spelling in unicode_forms(path):
            # In some locales another spelling cannot be a path.
            with suppress(NotFound, UnicodeEncodeError):
                stored = self.txn.get("paths", path_key(self.roots.relative(spelling)))
                if stored is not None:
                    return PathEntry.from_bytes(stored)
        return None

    def skipped_file(self, path: str) -> SkippedFile | None:
        """The entry of an absolute path that has no key; None where there is none."""
        if self.roots.number(path) is None:
            return None
        stored = self.txn.get("refused", path_key(self.roots.relative(path)))
        return None if stored is None else SkippedFile.from_bytes(stored)

    def locate(self, path: str) -> str:
        """An absolute path as the index spells it, which may lead through other links; unchanged
        where the index does not have it.
        """
        from indexes.search.resolve import spellings_of

        for places in spellings_of(self.txn, self.roots, path):
            for place in places:
                if self.entry(place) or self.skipped_file(place):
                    return place
        return path

    def skipped_files(self) -> list[SkippedFile]:
        """Every file without a key, by absolute path; files that are not pictures too."""
        stored = [SkippedFile.from_bytes(value) for _, value in self.txn.items("refused")]
        absolute = [replace(file, path=self.roots.path(file.path)) for file in stored]
        return sorted(absolute, key=lambda file: file.path)


class Snapshots:
    """The snapshots through which the threads of a program read one store: one per thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._local = threading.local()
        self._open: WeakSet[Snapshot] = WeakSet()
        self._lock = threading.Lock()

    def current(self) -> Snapshot:
        """This thread's snapshot; a new one if it has none. Raises Unsuitable after a fork."""
        self._store.check_process()
        snapshot: Snapshot | None = getattr(self._local, "snapshot", None)
        if snapshot is None or snapshot.ended:
            with self._lock:
                snapshot = self._local.snapshot = Snapshot(self._store.begin_read())
                self._open.add(snapshot)
        return snapshot

    def refresh(self) -> bool:
        """End this thread's snapshot; returns whether the store is another environment now.

        An environment that another program has put in this one's place is opened once no thread
        has a snapshot.
        """
        snapshot: Snapshot | None = getattr(self._local, "snapshot", None)
        with self._lock:
            if snapshot is not None and not snapshot.ended:
                self._local.snapshot = None
                self._open.discard(snapshot)
                snapshot.end()
            return not self._open and self._store.follow()

    def refresh_all(self) -> bool:
        """End every snapshot; returns whether the store is another environment now."""
        with self.suspend():
            return self._store.follow()

    @contextmanager
    def suspend(self) -> Iterator[None]:
        """End every snapshot; no thread gets a new one until the block ends."""
        with self._lock:
            for snapshot in list(self._open):
                snapshot.end()
            self._open.clear()
            yield


def best(parts: Sequence[tuple[Keys, Ids]], queries: int, k: int) -> tuple[Keys, Ids]:
    """The k best of several results of a search, each with scores and ids (queries, n)."""
    if not parts:
        return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.uint64)
    scores = np.concatenate([s for s, _ in parts], 1)
    ids = np.concatenate([i for _, i in parts], 1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def _cached(cache: dict[Where, T], where: Where, compute: Callable[[Where], T]) -> T:
    """The cached value, or a new one, which replaces the oldest of FILTERS entries."""
    if where not in cache:
        value = compute(where)
        if len(cache) == FILTERS:
            del cache[next(iter(cache))]
        cache[where] = value
    return cache[where]
