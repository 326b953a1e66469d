"""What one thread reads of an index: one transaction, and what was opened in it."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from indexes.search import merging, segments
from indexes.search.filters import Where
from indexes.search.segments import Ids, Keys, Segment
from indexes.search.significance import Significance, load_significance
from indexes.store.encoder import encoder_version
from indexes.store.records import PathEntry, Record, SkippedFile, id_key, id_of, path_key
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.errors import Damaged
from mocosearch.photos.scan import unicode_forms


class Snapshot:
    """A consistent state of an index, for one thread; whatever is costly to open is opened once.

    It provides everything that searching needs, so that a search needs no `Index`.
    """

    def __init__(self, txn: Txn) -> None:
        self.txn = txn
        self.ended = False
        self._segments: list[Segment] | None = None
        self._roots: Roots | None = None
        self._among: dict[Where, Ids] = {}

    def end(self) -> None:
        """Close the transaction. FAISS reads in place: no segment outlives it."""
        self.ended = True
        self._segments = None
        self.txn.raw.abort()

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
    def roots(self) -> Roots:
        """The folders whose photos the index holds, at their present paths."""
        if self._roots is None:
            self._roots = Roots.of(self.txn)
        return self._roots

    @property
    def significance(self) -> Significance:
        """How unusual a score is in this collection."""
        return load_significance(self.txn)

    def __len__(self) -> int:
        """Photos with a key, counted by path."""
        return self.txn.count("paths")

    def deleted(self) -> Ids:
        """The ids of deleted photos whose keys are still in a segment."""
        return merging.masked(self.txn)

    def among(self, where: Where) -> Ids:
        """The ids of the photos that meet some conditions, uint64 (n,), ascending."""
        if where not in self._among:
            ids = [
                id_of(key) for key, value in self.txn.items("images") if self._admits(where, value)
            ]
            self._among[where] = np.setdiff1d(np.array(ids, np.uint64), self.deleted())
        return self._among[where]

    def _admits(self, where: Where, record: memoryview) -> bool:
        if not where:
            return True
        facts = json.loads(bytes(record))
        if where.under or where.not_under:
            facts["paths"] = [self.roots.path(path) for path in facts["paths"]]
        return where.admits(facts)

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """The stored keys of some photos, float32 (n, d). Raises Damaged for an unknown id."""
        halves = list(segments.read_keys(self.txn, np.asarray(ids, np.uint64)))
        return np.concatenate(halves).astype(np.float32)

    def record(self, id: int) -> Record:
        """The facts of a photo, with absolute paths. Raises Damaged for an unknown id."""
        stored = self.txn.get("images", id_key(int(id)))
        if stored is None:
            raise Damaged(f"the index holds no record of id {id}", "remove it and index again")
        record = Record.from_bytes(stored)
        return replace(record, paths=[self.roots.path(path) for path in record.paths])

    def entry(self, path: str) -> PathEntry | None:
        """The id, size and time of the photo at an absolute path; None where it has no key."""
        for spelling in unicode_forms(path):
            if self.roots.number(spelling) is not None:
                stored = self.txn.get("paths", path_key(self.roots.stored(spelling)))
                if stored is not None:
                    return PathEntry.from_bytes(stored)
        return None

    def skipped_file(self, path: str) -> SkippedFile | None:
        """The entry of an absolute path that has no key; None where there is none."""
        if self.roots.number(path) is None:
            return None
        stored = self.txn.get("refused", path_key(self.roots.stored(path)))
        return None if stored is None else SkippedFile.from_bytes(stored)

    def skipped_files(self) -> list[SkippedFile]:
        """Every file without a key, by absolute path; files that are not pictures too."""
        stored = [SkippedFile.from_bytes(value) for _, value in self.txn.items("refused")]
        absolute = [replace(file, path=self.roots.path(file.path)) for file in stored]
        return sorted(absolute, key=lambda file: file.path)
