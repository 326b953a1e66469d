"""An index: an encoder, the photos' keys, and the nearest of them to a question."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from weakref import WeakSet

import numpy as np

from indexes.migrate import migrate
from indexes.search import kinds, merging, nearest, segments, significance
from indexes.search.filters import Where
from indexes.search.inputs import Asked, keys_of
from indexes.search.nearest import Match
from indexes.search.segments import Ids, Keys
from indexes.search.significance import Chance
from indexes.store import roots
from indexes.store.encoder import keep, kept, version
from indexes.store.environment import FORMAT, Store
from indexes.store.place import DATA, check_place
from indexes.store.records import PathEntry, Record, SkippedFile, id_key, id_of, path_key
from indexes.store.roots import Roots
from indexes.store.turns import in_turn
from indexes.store.txn import Txn
from indexes.sync.counts import Counts
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged
from mocosearch.home import not_found_error, path_of
from mocosearch.photos.scan import unicode_forms

Answer = TypeVar("Answer")


class Index:
    """A folder with everything in it that a question needs, the encoder included.

    Each thread reads a snapshot of its own, from its first question on; `refresh` moves it on to
    what has been committed since. Any number of threads may ask and add. Use as a context manager,
    or call `close`; for that, for `compact` and for `generation.renew` no other thread may be at
    work. Open an index once in a process, and not across a fork.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changing = threading.RLock()
        """Held while this process changes the index: its threads do so in turn."""
        self._encoder: tuple[bytes, Encoder] | None = None
        self._local = threading.local()
        self._snapshots: WeakSet[_Snapshot] = WeakSet()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, name: str | os.PathLike[str], *, writable: bool = False) -> Self:
        """For asking, and where `writable`, for changing too, which one program may at a time.

        name: of an index in the home, or a path; as a Path it is always a path. An index of an
        older format is brought up to this one first, whole or not at all. Raises NotFound, Damaged,
        StorageFailed, Busy.
        """
        folder = _folder(name)
        if not (folder / DATA).is_file():
            raise not_found_error("indexes", folder)
        if writable:
            return cls(_current(folder, wait=False))
        store = Store(folder, writable=False)
        if store.version != FORMAT:
            store.close()
            _current(folder, wait=True).close()
            store = Store(folder, writable=False)
        return cls(store)

    @classmethod
    def create(
        cls, name: str | os.PathLike[str], encoder: Encoder | None, *, wait: bool = False
    ) -> Self:
        """For changing; made where there is none, and then it keeps the encoder's graph.

        wait: until another program that changes it is done. Raises Busy otherwise, Mismatch where
        the index was made with another encoder, Unsuitable where the folder holds other things,
        Damaged, StorageFailed.
        """
        folder = _folder(name)
        check_place(folder)
        index = cls(_current(folder, wait=wait, encoder=encoder))
        try:
            if encoder is not None:
                index.store.write(lambda txn: keep(txn, encoder))
        except BaseException:
            index.close()
            raise
        return index

    @staticmethod
    def exists(name: str | os.PathLike[str]) -> bool:
        """Whether there is an index of this name or at this path."""
        return (_folder(name) / DATA).is_file()

    @property
    def _snapshot(self) -> "_Snapshot":
        """This thread's; it ends with the thread, or with the environment that it reads."""
        now: _Snapshot | None = getattr(self._local, "snapshot", None)
        if now is None or now.ended:
            with self._lock:
                now = self._local.snapshot = _Snapshot(self.store.begin_read())
                self._snapshots.add(now)
        return now

    @property
    def txn(self) -> Txn:
        """The snapshot that this thread reads."""
        return self._snapshot.txn

    def refresh(self) -> None:
        """Read what is committed now, in this thread; results of earlier queries stay good.

        Where another program has compacted the index, or given it another encoder, that is read
        once every thread has come here.
        """
        now: _Snapshot | None = getattr(self._local, "snapshot", None)
        with self._lock:
            if now is not None and not now.ended:
                self._local.snapshot = None
                self._snapshots.discard(now)
                now.end()
            if not self._snapshots and self.store.follow():
                self._encoder = None

    @property
    def encoder(self) -> Encoder:
        """The encoder that made the keys, from the index itself."""
        now, known = version(self.txn), self._encoder
        if known is None or known[0] != now:
            known = self._encoder = now, kept(self.txn)
        return known[1]

    def prepare(self) -> list[segments.Segment]:
        """The FAISS indexes, good until `refresh`; opened now, which `query` otherwise does."""
        now = self._snapshot
        if now.segments is None:
            now.segments = segments.all_segments(now.txn)
        return now.segments

    def query(
        self,
        asked: Asked,
        k: int = 10,
        where: Where | None = None,
        made_by: Encoder | None = None,
    ) -> list[list[Match]]:
        """The k nearest photos to each of n questions, best first; fewer where there are fewer.

        asked: keys of `encoder`, float32 (n, d) of unit length; pixels, uint8 (n, side, side, 3)
        RGB; or n paths of pictures. where: asked among the photos that it admits, which are chosen
        before the search. made_by: whose the keys are, where that is to be checked. Raises Mismatch
        for another shape or maker, NotFound or Unreadable for a file that is no picture, Damaged.
        """
        keys = keys_of(asked, self.encoder, made_by)
        return self._up_to_date(lambda: nearest.answers(self, keys, k, where))

    def search(
        self,
        looks: Asked,
        k: int = 10,
        where: Where | None = None,
        least: float | None = None,
    ) -> list[Match]:
        """The k best photos for one question, best first; fewer where there are fewer.

        looks: what `query` takes, but as ways to see one picture; a photo's score is its best
        cosine with any. Of the nearest the first `ranking.FIRST` are ranked again by what lies
        around them, so that scores need not fall from one to the next. where: as for `query`.
        least: the lowest score that counts. Raises what `query` raises.
        """
        keys = keys_of(looks, self.encoder)
        return self._up_to_date(lambda: nearest.ranked(self, keys, k, where, least))

    def _up_to_date(self, found: Callable[[], Answer]) -> Answer:
        """What is found, and found again where another program has overtaken this snapshot."""
        while True:
            try:
                answer = found()
                if not self.store.overtaken(self.txn):
                    return answer
            except Damaged:
                if not self.store.overtaken(self.txn):
                    raise
            self.refresh()

    def among(self, where: Where) -> Ids:
        """The ids of the photos that meet some conditions, ascending."""
        known = self._snapshot.among
        if where not in known:
            known[where] = self._among(where)
        return known[where]

    def _among(self, where: Where) -> Ids:
        ids = [id_of(key) for key, value in self.txn.items("images") if self._admits(where, value)]
        return np.setdiff1d(np.array(ids, np.uint64), merging.masked(self.txn))

    def _admits(self, where: Where, record: memoryview) -> bool:
        if not where:
            return True
        facts = json.loads(bytes(record))
        if where.under or where.not_under:
            facts["paths"] = [self.roots.path(path) for path in facts["paths"]]
        return where.admits(facts)

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """The stored keys of some photos, as float32 (n, d). Raises Damaged for an unknown id."""
        halves = list(segments.read_keys(self.txn, np.asarray(ids, np.uint64)))
        return np.concatenate(halves).astype(np.float32)

    def record(self, id: int) -> Record:
        """What is known of a photo. Raises Damaged where the id is not there."""
        stored = self.txn.get("images", id_key(int(id)))
        if stored is None:
            raise Damaged(f"the index holds no record of id {id}", "remove it and index again")
        record = Record.from_bytes(stored)
        return replace(record, paths=[self.roots.path(path) for path in record.paths])

    @property
    def roots(self) -> Roots:
        """The folders whose photos it holds, as they lie now."""
        now = self._snapshot
        if now.roots is None:
            now.roots = Roots.of(now.txn)
        return now.roots

    def entry(self, path: str) -> PathEntry | None:
        """The id, size and time of the photo at an absolute path; None where it has no key."""
        for spelling in unicode_forms(path):
            if self.roots.number(spelling) is not None:
                stored = self.txn.get("paths", path_key(self.roots.stored(spelling)))
                if stored is not None:
                    return PathEntry.from_bytes(stored)
        return None

    def facts(self, path: str) -> dict[str, Any] | None:
        """What is known of one absolute path, as plain values: the record of its photo and
        `modified` (ISO 8601, UTC), or `skipped`, the reason why it has no key. None where the
        path was never met.
        """
        entry = self.entry(path)
        if entry is not None:
            modified = datetime.fromtimestamp(entry.mtime / 1e9, UTC).isoformat()
            return {"id": entry.id, "modified": modified} | asdict(self.record(entry.id))
        known = self.roots.number(path) is not None
        skipped_file = self.txn.get("refused", path_key(self.roots.stored(path))) if known else None
        if skipped_file is not None:
            return {"skipped": SkippedFile.from_bytes(skipped_file).reason or "not a picture"}
        return None

    @property
    def chance(self) -> Chance:
        """How unusual a score is in this collection."""
        return significance.kept(self.txn)

    @property
    def count(self) -> int:
        """Photos with a key, by their paths."""
        return self.txn.count("paths")

    def skipped_files(self) -> list[SkippedFile]:
        """Every file that was met and has no key, by path; what is no picture included."""
        stored = [SkippedFile.from_bytes(value) for _, value in self.txn.items("refused")]
        told = [replace(r, path=self.roots.path(r.path)) for r in stored]
        return sorted(told, key=lambda skipped_file: skipped_file.path)

    def info(self) -> dict[str, Any]:
        """What the index holds, as plain values."""
        skipped_files = self.skipped_files()
        parts = [self._segment_info(number) for number in segments.numbers(self.txn)]
        wished = merging.plan(self.txn)
        largest = max(parts, key=lambda part: part["keys"], default={"kind": "SQfp16"})
        data = self.store.folder / DATA
        return {
            "path": os.fspath(self.store.folder),
            "images": self.count,
            "keys": self.txn.count("images"),
            "skipped": sum(r.reason is not None for r in skipped_files),
            "not_pictures": sum(r.reason is None for r in skipped_files),
            "roots": sorted(self.roots.places.values()),
            "dimension": self.encoder.dimension,
            "encoder": self.encoder.fingerprint,
            "architecture": self.encoder.card.architecture,
            "kind": largest["kind"],
            "kind_asked": wished.kind,
            "recall_asked": wished.recall,
            "segments": len(parts),
            "segment_list": parts,
            "masked": self.txn.count("deleted"),
            "format": FORMAT,
            "bytes": data.stat().st_size,
        }

    def _segment_info(self, number: bytes) -> dict[str, Any]:
        told = segments.about(self.txn, number)
        return {
            "keys": len(segments.part(self.txn, number, b"ids")) // 8,
            "kind": told.kind,
            "settings": told.settings,
            "recall": told.recall,
            "bytes": len(segments.part(self.txn, number, b"faiss")),
        }

    def sync(self, folders: Sequence[str | os.PathLike[str]], **options: Any) -> Counts:
        """Make the index equal to the folders; options, counts and errors as of `sync`."""
        from indexes.sync.sync import sync

        return sync(self, folders, **options)

    def add(
        self,
        files: Sequence[str | os.PathLike[str]],
        keys: Keys | None = None,
        made_by: Encoder | None = None,
    ) -> list[int]:
        """Give some files keys, all of them or none; returns their ids: see `indexes.add`."""
        from indexes.sync.add import add

        return add(self, files, keys, made_by)

    @in_turn
    def move(self, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> None:
        """Say that the folders in `old` lie in `new` now, as after another mount; nothing is read.

        Raises NotFound where no folder of the index lies in `old`.
        """
        places = roots.absolute(old), roots.absolute(new)
        self.refresh()
        self.store.write(lambda txn: roots.move(txn, *places))

    @in_turn
    def reshape(self, kind: str | None = None, recall: float | None = None) -> None:
        """Choose the kind of FAISS index and the recall that approximate ones are tuned to.

        kind: `auto` or a factory string of FAISS; None leaves either as it is. Takes hold when
        photos are next indexed, or now by `merging.merge`. Raises Unsuitable, with FAISS's reason.
        """
        self.refresh()
        wished = merging.plan(self.txn).but(kind, recall)
        kinds.check(wished, self.encoder.dimension)
        self.refresh()
        self.store.write(lambda txn: merging.keep_plan(txn, wished))

    @in_turn
    def compact(self) -> int:
        """Write the file anew without what is free in it; bytes saved.

        Answers stay the same. Raises StorageFailed; then the old file stays, and this is closed.
        """
        data = self.store.folder / DATA
        before = data.stat().st_size
        merging.merge(self.store)
        self.replace(lambda to: self.store.env.copy(os.fspath(to), compact=True))
        return before - data.stat().st_size

    def replace(self, make: Callable[[Path], None]) -> None:
        """Go on with another environment in place of this one: see `Store.replace`."""
        with self._lock:
            self._end_snapshots()
            self._encoder = None
            self.store.replace(make)

    def close(self) -> None:
        """Ends every snapshot and the environment."""
        with self._lock:
            self._end_snapshots()
        self.store.close()

    def discard(self) -> None:
        """Close, and remove the index before another program can change it."""
        with self._lock:
            self._end_snapshots()
        self.store.discard()

    def _end_snapshots(self) -> None:
        for snapshot in list(self._snapshots):
            snapshot.end()
        self._snapshots.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Snapshot:
    """What one thread reads: a transaction, and what was opened in it."""

    def __init__(self, txn: Txn) -> None:
        self.txn = txn
        self.segments: list[segments.Segment] | None = None
        self.roots: Roots | None = None
        self.among: dict[Where, Ids] = {}
        self.ended = False

    def end(self) -> None:
        """FAISS reads in place: no index outlives its transaction."""
        self.ended = True
        self.segments = None
        self.txn.raw.abort()


def _folder(name: str | os.PathLike[str]) -> Path:
    return Path(name) if isinstance(name, Path) else path_of("indexes", os.fspath(name))


def _current(folder: Path, *, wait: bool, encoder: Encoder | None = None) -> Store:
    """A store for changing, of this format."""

    def first(txn: Txn) -> None:
        if encoder is not None:
            keep(txn, encoder)

    store = Store(folder, writable=True, wait=wait, first=first)
    if store.version != FORMAT:
        try:
            store.write(migrate)
            store.version = FORMAT
        except BaseException:
            store.close()
            raise
    return store
