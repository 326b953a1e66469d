"""A library: many indexes, read as one collection."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from indexes.index import Index
from indexes.library.layout import (
    Layout,
    ShardPlan,
    is_complete,
    load_layout,
    shard_folder,
)
from indexes.library.significance import load_significance
from indexes.library.union import Search, ShardFailed, Union, combined
from indexes.reader import Reader
from indexes.search.segments import load_faiss
from indexes.search.significance import Significance
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged, Mismatch, MocosearchError, Unsuitable

if TYPE_CHECKING:
    from indexes.duplicates.groups import Group

MOST_THREADS = 64
"""That wait for searches in other processes."""
UNBUILT = "it is not built yet"
T = TypeVar("T")


class Library(Reader):
    """Many indexes, its shards, read as one.

    A shard that is missing or damaged is in `unavailable`, and the others answer. Open a library
    once per process.
    """

    def __init__(self, folder: Path, layout: Layout, *, writable: bool = False) -> None:
        self._folder, self.layout, self._writable = folder, layout, writable
        self._indexes: dict[str, Index] = {}
        self._unavailable: dict[str, str] = {}
        self._failing: list[Index] = []
        self._lock = threading.Lock()
        self._significance: tuple[str, Significance] | None = None
        self._remote: Search | None = None
        self._cores = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._cores, "shards", _use_one_core)

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> Self:
        """For queries; with `writable`, `ignore` may be called.

        Raises NotFound and Damaged where there is no library or none of its shards can be read.
        """
        library = cls(folder, load_layout(folder), writable=writable)
        library._open_shards()
        if not library._indexes:
            names = list(library.unavailable)
            reason = f"shard {names[0]}: {library.unavailable[names[0]]}" if names else "no shards"
            library.close()
            raise Damaged(
                f"no shard of the library at {folder} can be read: {reason}",
                f"build them: mocosearch library build --library {folder}",
            )
        return library

    def search_by(self, remote: Search | None) -> None:
        """Have shards searched elsewhere: see `indexes.library.replicas`."""
        self._remote = remote
        # Threads that wait for other processes.
        count = self._cores if remote is None else max(self._cores, len(self.layout.shards))
        self._threads.shutdown(wait=False)
        self._threads = ThreadPoolExecutor(min(count, MOST_THREADS), "shards", _use_one_core)

    def _open_shards(self) -> None:
        """Open the shards that are not open yet."""
        for number, shard in enumerate(self.layout.shards):
            if shard.name in self._indexes:
                continue
            try:
                writable = self._writable and number == 0
                self._indexes[shard.name] = self._open(shard, writable)
                self._unavailable.pop(shard.name, None)
            except MocosearchError as error:
                self._unavailable[shard.name] = error.what
        # In the order of the plan, so that the newest one is the last.
        names = [shard.name for shard in self.layout.shards if shard.name in self._indexes]
        self._indexes = {name: self._indexes[name] for name in names}

    def _open(self, shard: ShardPlan, writable: bool) -> Index:
        if not is_complete(self.folder, shard.name):
            raise Unsuitable(UNBUILT)
        index = Index.open(shard_folder(self.folder, shard.name), writable=writable)
        try:
            if index.encoder.fingerprint != self.layout.encoder:
                raise Mismatch("it was made with another encoder than the library's")
        except BaseException:
            index.close()
            raise
        return index

    @property
    def folder(self) -> Path:
        """Where the library is."""
        return self._folder

    @property
    def unavailable(self) -> Mapping[str, str]:
        """The shards that do not answer, by name, and why."""
        return self._unavailable

    @property
    def snapshot(self) -> Union:
        """What this thread reads of the shards that answer."""
        indexes = self._indexes
        snapshots = {name: index.snapshot for name, index in indexes.items()}
        numbers = {n: shard.name for shard in self.layout.shards for n in shard.numbers}
        threads = self._threads, self._cores
        return Union(snapshots, numbers, *threads, self._measure, self._remote)

    def _measure(self, union: Union) -> Significance:
        version, cached = union.version, self._significance
        if cached is None or cached[0] != version:
            figures = load_significance(self.folder, union.parts)
            cached = self._significance = version, figures
        return cached[1]

    @property
    def encoder(self) -> Encoder:
        """The encoder of all shards, from the first one that answers."""
        return next(iter(self._indexes.values())).encoder

    @property
    def newest_version(self) -> str:
        """See `Reader.newest_version`; differs where a shard was built, too."""
        indexes = self._indexes
        built = {
            shard.name: is_complete(self.folder, shard.name)
            for shard in self.layout.shards
            if shard.name not in indexes
        }
        versions = [(name, index.newest_version) for name, index in indexes.items()]
        more = [(name, "built") for name, is_built in built.items() if is_built]
        return combined(iter([*versions, *more]))

    def info(self) -> dict[str, Any]:
        """See `Reader.info`; also its shards."""
        shards = {"shards": len(self.layout.shards), "unavailable": dict(self.unavailable)}
        return super().info() | shards

    def refresh(self) -> None:
        """See `Reader.refresh`."""
        for index in self._indexes.values():
            index.refresh()

    def refresh_all(self) -> None:
        """See `Reader.refresh_all`. Shards that were built or planned meanwhile are opened."""
        layout = load_layout(self.folder)
        names = {shard.name for shard in layout.shards}
        for name in [name for name in self._indexes if name not in names]:
            self._indexes.pop(name).close()
        for name in [name for name in self._unavailable if name not in names]:
            del self._unavailable[name]
        self.layout = layout
        for index in self._indexes.values():
            index.refresh_all()
        while self._failing:
            self._failing.pop().close()
        self._open_shards()

    def open_segments(self) -> None:
        """See `Reader.open_segments`."""
        self._up_to_date(lambda: self.snapshot._each(lambda part: part.segments))

    def _up_to_date(self, search: Callable[[], T]) -> T:
        """See `Reader._up_to_date`. Where a shard turns out to be damaged, the others answer."""
        while True:
            try:
                result = search()
            except ShardFailed as failure:
                if not self._is_overtaken(failure.shard):
                    self._exclude(failure)
                self.refresh()
                continue
            if not any(map(self._is_overtaken, self._indexes)):
                return result
            self.refresh()

    def _is_overtaken(self, shard: str) -> bool:
        index = self._indexes[shard]
        return index.store.is_overtaken(index.txn)

    def _exclude(self, failure: ShardFailed) -> None:
        """Search without a shard from now on. Raises Damaged where it is the last one."""
        with self._lock:
            rest = {n: index for n, index in self._indexes.items() if n != failure.shard}
            if not rest:
                raise failure
            # Other threads may be reading it.
            self._failing.append(self._indexes[failure.shard])
            self._unavailable[failure.shard] = failure.reason
            self._indexes = rest

    def ignore(self, names: str | Sequence[str], groups: "Sequence[Group]") -> None:
        """See `Reader.ignore`; stored in the first shard."""
        first = self.layout.shards[0].name
        if first not in self._indexes:
            raise Damaged(
                f"shard {first} cannot be read: {self._unavailable[first]}",
                "build it: it remembers what is no copy",
            )
        self._indexes[first].ignore(names, groups)

    def close(self) -> None:
        """Close all shards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for index in (*self._indexes.values(), *self._failing):
            index.close()


def _use_one_core() -> None:
    """Shards are searched in parallel, so that each search uses one core."""
    load_faiss().omp_set_num_threads(1)
