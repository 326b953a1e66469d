"""Reading a collection: questions, answers and facts, of one index or of a library of several."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from indexes.copies.compare import COSINE
from indexes.search.answer import Answer, answer
from indexes.search.filters import Where
from indexes.search.inputs import Inputs, PathOrPaths, check_keys, paths_of, to_keys
from indexes.search.nearest import Match, nearest
from indexes.search.question import Images, Question, ask
from indexes.search.significance import Significance
from indexes.search.view import View
from indexes.store.records import Ids, Keys, PathEntry, Record, SkippedFile
from indexes.store.roots import Roots
from mocosearch.encoder import Encoder
from mocosearch.errors import Unsuitable
from mocosearch.photos.squares import Crop

if TYPE_CHECKING:
    from indexes.duplicates.against import Comparison
    from indexes.duplicates.bursts import Burst
    from indexes.duplicates.groups import Group
    from indexes.index import Index
    from indexes.pick import Pick
    from indexes.redundancy import Redundancy
    from mocosearch.photos import Picture

T = TypeVar("T")


class Reader(ABC):
    """What can be asked of a collection. `Index` and `Library` are readers.

    Each thread reads a snapshot of its own, from its first query on; `refresh` moves it on to
    what has been committed since. Use it as a context manager, or call `close`.
    """

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the collection is."""

    @property
    @abstractmethod
    def snapshot(self) -> View:
        """What this thread reads; it ends with the thread, with `refresh` or with `close`."""

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """The encoder that made the keys, from the collection itself."""

    @property
    @abstractmethod
    def newest_version(self) -> str:
        """What `snapshot.version` would be after a `refresh`. Raises StorageFailed."""

    @property
    def unavailable(self) -> Mapping[str, str]:
        """The parts that do not answer, by name, and why."""
        return {}

    @property
    def has_parts(self) -> bool:
        """Whether there are keys of regions, for `part_index`."""
        return False

    @property
    def part_index(self) -> "Index":
        """The index to search for parts of photos. Raises Unsuitable for a library."""
        raise Unsuitable(
            "a library has no keys of regions", "search for parts in one of its shards"
        )

    @abstractmethod
    def refresh(self) -> None:
        """Read what is committed now, in this thread; results of earlier queries stay valid."""

    @abstractmethod
    def refresh_all(self) -> None:
        """`refresh` for every thread at once; meanwhile no other thread may use the collection."""

    @abstractmethod
    def open_segments(self) -> None:
        """Open the FAISS indexes; otherwise the first search does it."""

    @abstractmethod
    def ignore(self, names: str | Sequence[str], groups: "Sequence[Group]") -> None:
        """Remember that the files of the groups of these names are not copies of each other.

        Raises NotFound for a name that no group has, StorageFailed.
        """

    @abstractmethod
    def close(self) -> None:
        """End every snapshot."""

    @abstractmethod
    def _up_to_date(self, search: Callable[[], T]) -> T:
        """The result of a search, repeated if what it read has been overwritten meanwhile."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Load the encoder, in another thread, and open the FAISS indexes; otherwise the first
        search does it.
        """
        self.encoder.prepare()
        self.open_segments()

    def search(
        self,
        images: Images,
        k: int = 10,
        *,
        minus: Images = (),
        crop: Crop | None = None,
        orientations: bool = False,
        where: Where | None = None,
        min_score: float | None = None,
        significant_only: bool = False,
        fold: bool = True,
    ) -> Answer:
        """The k best photos for an image, or for the mean of several, as `mocosearch query` does.

        images, minus, crop, orientations: see `question`. The others: see `answer`. Raises what
        both raise.
        """
        question = self.question(images, minus=minus, crop=crop, orientations=orientations)
        return self.answer(
            question,
            k,
            where=where,
            min_score=min_score,
            significant_only=significant_only,
            fold=fold,
        )

    def question(
        self,
        images: Images,
        *,
        minus: Images = (),
        crop: Crop | None = None,
        orientations: bool = False,
    ) -> Question:
        """The keys to search with, for `answer`.

        images: one or several of: the path of a picture or of a folder of pictures, the bytes of a
        picture file, pixels, uint8 (side, side, 3) RGB, or a key of `self.encoder`, float (d,);
        `Weighted` gives one a weight in the mean. An array with one more axis is several. minus:
        unwanted images. crop: the region of the wanted pictures that counts. orientations: try
        each picture turned and mirrored too.

        Raises NotFound and Unreadable for a file, NoPhotos for a folder without a readable
        picture, Mismatch for an array of another shape, Unsuitable for options that do not go
        with the images.
        """
        return ask(self.encoder, images, minus=minus, crop=crop, orientations=orientations)

    def answer(
        self,
        question: Question,
        k: int = 10,
        *,
        where: Where | None = None,
        min_score: float | None = None,
        significant_only: bool = False,
        fold: bool = True,
    ) -> Answer:
        """The k best photos for a question, best first; fewer if there are fewer.

        A photo's score is its best cosine with any key of the question. The first `ranking.FIRST`
        results are re-ranked by their neighbours, so scores need not fall from one result to the
        next. Results that may be chance come last.

        where: search only the photos that it admits. min_score: the lowest score that counts.
        significant_only: leave out what may be chance. fold: the copies of one picture are one
        result; otherwise every file is. Raises Mismatch for keys of another dimension, NotFound
        for a folder of `where` without a photo of this index, Unsuitable for k below 1 and for an
        unknown format or time, Damaged.
        """
        check_keys(question.keys, self.encoder.dimension)
        options = min_score, significant_only, fold
        return self._up_to_date(
            lambda: answer(self.snapshot, question, k, self._resolve(where), *options)
        )

    def query(
        self,
        inputs: Inputs,
        k: int = 10,
        where: Where | None = None,
        encoder: Encoder | None = None,
    ) -> list[list[Match]]:
        """The k nearest photos to each of n inputs by plain cosine; fewer if there are fewer.

        inputs: keys of `self.encoder`, float32 (n, d) of unit length; pixels, uint8
        (n, side, side, 3) RGB; or n paths of pictures. where: search only the photos that it
        admits. encoder: the one that made the keys, where that is to be checked. Raises Mismatch
        for another shape or encoder, NotFound or Unreadable for a file that is not a picture, and
        what `answer` raises for a filter and for k.
        """
        keys = to_keys(inputs, self.encoder, encoder)
        if k < 1:
            raise Unsuitable(f"cannot search for {k} photos", "k must be at least 1")
        return self._up_to_date(lambda: nearest(self.snapshot, keys, k, self._resolve(where)))

    def _resolve(self, where: Where | None) -> Where | None:
        return None if where is None else self.snapshot.resolve(where)

    def __len__(self) -> int:
        """Photos with a key; files of the same content are one photo."""
        return len(self.snapshot)

    def among(self, where: Where) -> Ids:
        """The ids of the photos that meet some conditions, uint64 (n,), ascending. Raises what
        `answer` raises for a filter.
        """
        return self.snapshot.among(self.snapshot.resolve(where))

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """The stored keys of some photos, float32 (n, d). Raises Damaged for an unknown id."""
        return self.snapshot.keys(ids)

    def record(self, id: int) -> Record:
        """The facts of a photo, with absolute paths. Raises Damaged for an unknown id."""
        return self.snapshot.record(id)

    @property
    def roots(self) -> Roots:
        """The folders whose photos it holds, at their present paths."""
        return self.snapshot.roots

    def entry(self, path: str) -> PathEntry | None:
        """The id, size and time of the photo at an absolute path; None where it has no key."""
        return self.snapshot.entry(path)

    def facts(self, path: str) -> dict[str, Any] | None:
        """The facts of one absolute path, as plain values: the record of its photo and
        `modified` (ISO 8601, UTC), or `skipped`, the reason why it has no key. None for an unknown
        path.
        """
        from indexes.info import facts

        return facts(self.snapshot, path)

    @property
    def significance(self) -> Significance:
        """How unusual a score is in this collection."""
        return self.snapshot.significance

    def skipped_files(self) -> list[SkippedFile]:
        """Every file without a key, by path; files that are not pictures too."""
        return self.snapshot.skipped_files()

    def info(self) -> dict[str, Any]:
        """What the index holds, as plain values."""
        from indexes.info import info

        return self._up_to_date(lambda: info(self.snapshot, self.folder, self.encoder))

    def redundancy(self) -> "Redundancy":
        """How many copies of each photo there are, and on which disks: see `indexes.redundancy`."""
        from indexes.redundancy import redundancy

        return self._up_to_date(lambda: redundancy(self.snapshot))

    def export(self, folder: str | os.PathLike[str], format: str = "plain") -> list[str]:
        """Write the photos as files for other programs into a new folder; returns their names.

        format: one of `indexes.export.FORMATS`. Raises Unsuitable for another one, and where the
        folder exists and is not empty; MissingPackage, StorageFailed.
        """
        from indexes.export import export

        return self._up_to_date(
            lambda: export(self.snapshot, self.encoder.dimension, Path(folder), format)
        )

    def duplicates(
        self,
        min_score: float = COSINE,
        where: Where | None = None,
        *,
        turned: bool = False,
        keep: str = "largest",
        changed: set[str] | None = None,
    ) -> "list[Group]":
        """Groups of copies, largest first: see `indexes.duplicates.find.groups`."""
        from indexes.duplicates.find import groups

        def search() -> "list[Group]":
            admitted = self.snapshot.resolve(where or Where())
            return groups(self.snapshot, min_score, admitted, turned, keep, changed)

        return self._up_to_date(search)

    def bursts(
        self, min_score: float = 0.5, where: Where | None = None, changed: set[str] | None = None
    ) -> "list[Burst]":
        """Photos of one subject taken within seconds of each other, by their time, and the sharpest
        of each burst. min_score: the lowest cosine of two consecutive ones. See
        `indexes.duplicates.bursts.find_bursts`.
        """
        from indexes.duplicates.bursts import find_bursts

        def search() -> "list[Burst]":
            resolved = self.snapshot.resolve(where or Where())
            paths = set() if changed is None else changed
            return list(find_bursts(self.snapshot, min_score, resolved, paths))

        return self._up_to_date(search)

    def compare(
        self,
        photos: "Iterator[tuple[str, int, bytes, Picture]]",
        min_score: float = COSINE,
        folders: PathOrPaths = (),
        changed: set[str] | None = None,
    ) -> "Iterator[Comparison]":
        """For each new photo its copies in the index, with what shows that they are copies; none
        where the index has no copy. See `indexes.duplicates.against.compare`.
        """
        from indexes.duplicates.against import compare

        above = [os.fspath(folder) for folder in paths_of(folders)]
        return compare(self.snapshot, self.encoder, photos, min_score, above, changed)

    def pick(self, count: int, where: Where | None = None, *, odd: bool = False) -> "list[Pick]":
        """Photos that differ as much as possible and so stand for many, or, with `odd`, those least
        like all others; fewer than count if there are fewer. See `indexes.pick`.

        where: only the photos that it admits, which are then compared among themselves. Raises
        Unsuitable for a count below 1, and what `answer` raises for a filter.
        """
        from indexes.pick import pick

        return self._up_to_date(
            lambda: pick(self.snapshot, count, self._resolve(where) or Where(), odd)
        )
