"""What a search needs of a collection: one index offers it, and so does a library of several."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from indexes.search.filters import Where
from indexes.search.significance import Significance
from indexes.store.records import Ids, Keys, PathEntry, Record, SkippedFile
from indexes.store.roots import Roots

if TYPE_CHECKING:
    from indexes.search.segments import Halves
    from indexes.search.snapshot import Snapshot


class View(Protocol):
    """A consistent state of a collection, for one thread.

    Every photo has an id, which no other photo of the collection has. All of it raises Damaged.
    """

    @property
    def parts(self) -> "Sequence[Snapshot]":
        """The indexes that it consists of, for what is computed for each alone."""

    @property
    def version(self) -> str:
        """Differs where anything that is stored differs."""

    @property
    def roots(self) -> Roots:
        """The folders of the photos, at their present paths."""

    @property
    def significance(self) -> Significance:
        """How unusual a score is in this collection."""

    def __len__(self) -> int:
        """Photos with a key."""

    def search(self, keys: Keys, k: int, where: Where | None) -> tuple[Keys, Ids]:
        """The k nearest photos to each of the keys, float32 (n, d), by cosine: descending scores
        and ids, (n, k) or narrower; id 0 marks an empty place.
        """

    def among(self, where: Where) -> Ids:
        """The ids of the photos that meet all conditions, uint64 (n,), ascending."""

    def resolve(self, where: Where) -> Where:
        """The same conditions with folders as the collection spells them."""

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """The stored keys of some photos, float32 (n, d)."""

    def read_keys(self, ids: Ids) -> "Iterator[Halves]":
        """The same, fp16, in pieces."""

    def has(self, id: int) -> bool:
        """Whether there is a photo with this id."""

    def record(self, id: int) -> Record:
        """The facts of a photo, with absolute paths."""

    def id_of(self, digest: str) -> int | None:
        """The id of the photo with this content; None where there is none."""

    def entry(self, path: str) -> PathEntry | None:
        """The id, size and times of the file at an absolute path; None where it has no key."""

    def skipped_file(self, path: str) -> SkippedFile | None:
        """The entry of an absolute path that has no key; None where there is none."""

    def locate(self, path: str) -> str:
        """An absolute path as the collection spells it; unchanged where it does not have it."""

    def skipped_files(self) -> list[SkippedFile]:
        """Every file without a key, by absolute path; files that are not pictures too."""
