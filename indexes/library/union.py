"""The state of several indexes as that of one."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from indexes.library.layout import BLOCK
from indexes.search.filters import Where
from indexes.search.segments import Halves
from indexes.search.significance import Significance
from indexes.search.snapshot import Snapshot, best
from indexes.store.records import Ids, Keys, PathEntry, Record, SkippedFile
from indexes.store.roots import Roots
from mocosearch.errors import Damaged, NotFound, StorageFailed, Unsuitable

MARGIN = 4
"""Standard deviations by which a shard is asked for more results than its share."""
Search = Callable[[str, Keys, int, Where | None], tuple[Keys, Ids] | None]
"""From a shard's name, keys, k and a filter to scores and ids; None where there is no answer."""
AT_ONCE = 16384
"""Keys of one piece."""

T = TypeVar("T")


class ShardFailed(Damaged):
    """A shard cannot be read; `shard` is its name, `reason` why."""

    def __init__(self, shard: str, reason: str, hint: str) -> None:
        super().__init__(f"shard {shard}: {reason}", hint)
        self.shard, self.reason = shard, reason


@contextmanager
def naming(shard: str) -> Iterator[None]:
    """Errors of a shard get its name. Raises ShardFailed."""
    try:
        yield
    except ShardFailed:
        raise
    except (Damaged, StorageFailed) as error:
        raise ShardFailed(shard, error.what, error.hint) from error


class Union:
    """The `View` of a library: the photos of all its shards, which are searched in parallel.

    The ids of the shards are those of the library, because each shard uses other ones. Files of the
    same content in different shards are different photos, which an answer folds as copies.
    """

    def __init__(
        self,
        snapshots: Mapping[str, Snapshot],
        numbers: Mapping[int, str],
        threads: Executor,
        cores: int,
        significance: Callable[["Union"], Significance],
        remote: Search | None = None,
    ) -> None:
        """snapshots: of this thread, by the names of the shards. numbers: the shard that has the
        ids from number times BLOCK on. significance: that of this state. remote: searches a
        shard in another process.
        """
        self.snapshots, self.numbers = snapshots, numbers
        self.threads, self.cores = threads, cores
        self._significance, self._remote = significance, remote

    @property
    def parts(self) -> Sequence[Snapshot]:
        """The states of the shards."""
        return list(self.snapshots.values())

    @property
    def version(self) -> str:
        """Differs where anything that is stored differs."""
        return combined((name, one.version) for name, one in self.snapshots.items())

    @property
    def roots(self) -> Roots:
        """The folders of all shards."""
        roots = (place for part in self.parts for place in part.roots.places.values())
        return Roots(dict(enumerate(dict.fromkeys(roots), 1)))

    @property
    def significance(self) -> Significance:
        """How unusual a score is in the whole library."""
        return self._significance(self)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def search(self, keys: Keys, k: int, where: Where | None) -> tuple[Keys, Ids]:
        """See `View.search`: the best results of all shards, merged as those of segments are.

        Each shard is first asked for its share of the k and a margin. One whose last result is
        among the k best is asked for all k: so the results are those of k from every shard.
        """
        share = k / len(self.snapshots)
        few = min(k, math.ceil(share + MARGIN * (share**0.5 + 1)))
        parts = self._search(keys, few, where, list(self.snapshots))
        scores, _ = best(parts, len(keys), k)
        least = scores[:, -1] if scores.shape[1] == k else np.full(len(keys), -np.inf)
        names = list(self.snapshots)
        short = [
            at
            for at, (some, _) in enumerate(parts)
            if few < k and some.shape[1] >= few and (some[:, -1] > least).any()
        ]
        more = self._search(keys, k, where, [names[at] for at in short])
        for at, part in zip(short, more, strict=True):
            parts[at] = part
        return best(parts, len(keys), k)

    def _search(
        self, keys: Keys, k: int, where: Where | None, names: Sequence[str]
    ) -> list[tuple[Keys, Ids]]:
        def search(name: str) -> tuple[Keys, Ids]:
            result = None if self._remote is None else self._remote(name, keys, k, where)
            if result is not None:
                return result
            with naming(name):
                return self.snapshots[name].search(keys, k, where)

        if self._remote is not None:
            return _results([self.threads.submit(search, name) for name in names])
        return self._spread(search, names)

    def among(self, where: Where) -> Ids:
        """See `View.among`."""
        parts = self._each(lambda part: part.among(where))
        return np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))

    def _each(self, work: Callable[[Snapshot], T]) -> list[T]:
        """Some work with every shard, in parallel. Raises ShardFailed."""

        def run(name: str) -> T:
            with naming(name):
                return work(self.snapshots[name])

        return self._spread(run, list(self.snapshots))

    def _spread(self, work: Callable[[str], T], names: Sequence[str]) -> list[T]:
        """Some work with each of some shards, one share of them for each core, the first in this
        thread: a thread that is woken for each shard costs more than its search.
        """
        count = max(1, min(self.cores, len(names)))
        shares = [names[at::count] for at in range(count)]
        futures = [self.threads.submit(_all, work, share) for share in shares[1:]]
        futures.insert(0, Future())
        try:
            futures[0].set_result(_all(work, shares[0]))
        except Exception as error:
            futures[0].set_exception(error)
        results: list[T | None] = [None] * len(names)
        for at, share in enumerate(_results(futures)):
            results[at::count] = share
        return cast(list[T], results)

    def resolve(self, where: Where) -> Where:
        """See `View.resolve`. A folder may have photos in some shards only, and so may a format."""
        if where.format is not None:
            self._first(lambda part: part.resolve(Where(format=where.format)), Unsuitable)

        def spellings(folders: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(one for folder in folders for one in self._places(folder)))

        return replace(where, under=spellings(where.under), not_under=spellings(where.not_under))

    def _places(self, folder: str) -> list[str]:
        places: list[str] = []
        failures: list[NotFound] = []
        for name, part in self.snapshots.items():
            try:
                with naming(name):
                    places += part.resolve(Where(under=(folder,))).under
            except NotFound as error:
                failures.append(error)
        if not places and failures:
            raise failures[0]
        return places

    def _first(self, work: Callable[[Snapshot], T], error: type[Exception]) -> T:
        """The first result of a shard that does not raise this error, or that error."""
        names = list(self.snapshots)
        for name in names[:-1]:
            try:
                with naming(name):
                    return work(self.snapshots[name])
            except error:
                continue
        with naming(names[-1]):
            return work(self.snapshots[names[-1]])

    def _part(self, id: int) -> str:
        """The shard that has an id. Raises Damaged."""
        name = self.numbers.get(int(id) // BLOCK)
        if name is None or name not in self.snapshots:
            raise Damaged(f"no shard of the library has a photo {id}", "it may have been removed")
        return name

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """See `View.keys`."""
        return self._halves(np.asarray(ids, np.uint64)).astype(np.float32)

    def read_keys(self, ids: Ids) -> Iterator[Halves]:
        """See `View.read_keys`."""
        for first in range(0, len(ids), AT_ONCE):
            yield self._halves(ids[first : first + AT_ONCE])

    def _halves(self, ids: Ids) -> Halves:
        numbers, which = np.unique(ids // np.uint64(BLOCK), return_inverse=True)
        keys: Halves | None = None
        for at, number in enumerate(numbers.tolist()):
            rows = np.flatnonzero(which == at)
            name = self._part(number * BLOCK)
            with naming(name):
                some = np.concatenate(list(self.snapshots[name].read_keys(ids[rows])))
            if keys is None:
                keys = np.empty((len(ids), some.shape[1]), np.float16)
            keys[rows] = some
        if keys is None:
            raise Damaged("no photo was named", "name at least one")
        return keys

    def has(self, id: int) -> bool:
        """See `View.has`."""
        name = self.numbers.get(int(id) // BLOCK)
        return name is not None and name in self.snapshots and self.snapshots[name].has(id)

    def record(self, id: int) -> Record:
        """See `View.record`."""
        name = self._part(id)
        with naming(name):
            return self.snapshots[name].record(id)

    def id_of(self, digest: str) -> int | None:
        """See `View.id_of`; the one of the newest shard that has such a photo."""
        return self._newest(lambda part: part.id_of(digest))

    def entry(self, path: str) -> PathEntry | None:
        """See `View.entry`."""
        return self._newest(lambda part: part.entry(path))

    def skipped_file(self, path: str) -> SkippedFile | None:
        """See `View.skipped_file`."""
        return self._newest(lambda part: part.skipped_file(path))

    def _newest(self, look: Callable[[Snapshot], T | None]) -> T | None:
        """What the newest shard that has something to say returns."""
        for name in reversed(list(self.snapshots)):
            with naming(name):
                result = look(self.snapshots[name])
            if result is not None:
                return result
        return None

    def locate(self, path: str) -> str:
        """See `View.locate`."""

        def place(part: Snapshot) -> str | None:
            at = part.locate(path)
            return at if part.entry(at) or part.skipped_file(at) else None

        return self._newest(place) or path

    def skipped_files(self) -> list[SkippedFile]:
        """See `View.skipped_files`."""
        parts = self._each(lambda part: part.skipped_files())
        return sorted((file for part in parts for file in part), key=lambda file: file.path)


def _all(work: Callable[[str], T], names: Sequence[str]) -> list[T]:
    return [work(name) for name in names]


def _results(futures: "Sequence[Future[T]]") -> list[T]:
    """The results, once all have ended: an error must leave no thread at work with a snapshot."""
    wait(futures)
    return [future.result() for future in futures]


def combined(versions: "Iterator[tuple[str, str]]") -> str:
    """One version of several, each with the name of what it belongs to."""
    text = " ".join(f"{name}:{version}" for name, version in versions)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
