"""A transaction whose small values are told from damaged ones."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from indexes.store import layout
from indexes.store.mapped import Mapped
from mocosearch.errors import Damaged

UNSEALED = frozenset({"encoder", "segments"})
"""Databases whose large values carry digests of their own; all others end in a checksum."""
CHECKSUM = 4


class Txn:
    """A transaction with its databases by name: `txn.get("images", key)` and the like.

    Small values end in a checksum of key and value, which is seen to here: what was flipped on
    the disk is never taken for what was written. `sealed` is False for format 1 alone. `file` is
    the store's, for `mapped`.
    """

    def __init__(
        self,
        txn: lmdb.Transaction,
        databases: dict[str, Any],
        folder: Path,
        *,
        sealed: bool = True,
        file: Mapped | None = None,
    ) -> None:
        self.raw, self.databases, self.folder = txn, databases, folder
        self.sealed, self.file = sealed, file
        self.stale: set[int] = set()
        """Ids whose records this transaction wrote or deleted: see `columns.update`."""

    def get(self, database: str, key: bytes) -> memoryview | None:
        """A view into the memory map, good for as long as the transaction. Raises Damaged."""
        with self._walked():
            found: Any = self.raw.get(key, db=self.databases[database])
        return None if found is None else self._opened(database, key, found)

    def get_many(self, database: str, keys: Sequence[bytes]) -> list[memoryview]:
        """The values of those keys that exist, in the order of the keys: a third of the time that
        `get` takes for each. Good for as long as the transaction. Raises Damaged.
        """
        with self._walked(), self.raw.cursor(self.databases[database]) as cursor:
            entries: Any = cursor.getmulti(keys)
        if database in UNSEALED or not self.sealed:
            return [value for _, value in entries]
        values = [(key, value[:-CHECKSUM], value[-CHECKSUM:]) for key, value in entries]
        if any(_checksum(key, value) != checksum for key, value, checksum in values):
            raise self._damaged(f"an entry of {database} is not as written")
        return [value for _, value, _ in values]

    def mapped(self, database: str, key: bytes, *, whole: bool) -> memoryview | None:
        """A view of a large value, of which nothing is read from the disk yet, where that can be.

        For databases without checksums. Good for as long as the transaction. whole: all of it will
        be read soon, and not here and there. Raises Damaged.
        """
        file, commit = self.file, self.raw.id()
        try:
            view = file.view(commit, database, key, whole=whole) if file else None
        except layout.Torn as error:
            # LMDB would follow its pages out of the map, which ends the process.
            raise self._damaged("a page leads nowhere") from error
        return self.get(database, key) if view is None else view

    def keys(self, database: str) -> Iterator[bytes]:
        """All keys in their order; no value is read. Raises Damaged."""
        with self._walked(), self.raw.cursor(self.databases[database]) as cursor:
            yield from map(bytes, cursor.iternext(keys=True, values=False))

    def put(self, database: str, key: bytes, value: bytes | memoryview) -> None:
        """Write or replace."""
        self._note(database, key)
        if self._seals(database, key):
            value = bytes(value) + _checksum(key, value)
        self.raw.put(key, value, db=self.databases[database])

    def delete(self, database: str, key: bytes) -> bool:
        """Whether there was such a key."""
        self._note(database, key)
        return bool(self.raw.delete(key, db=self.databases[database]))

    def _note(self, database: str, key: bytes) -> None:
        if database == "images":
            self.stale.add(int.from_bytes(key, "big"))

    def count(self, database: str) -> int:
        """Number of entries."""
        with self._walked():
            return int(self.raw.stat(self.databases[database])["entries"])

    def items(self, database: str) -> Iterator[tuple[memoryview, memoryview]]:
        """All entries in the order of their keys. Raises Damaged."""
        with self._walked(), self.raw.cursor(self.databases[database]) as cursor:
            entries: Any = cursor
            for key, value in entries:
                yield key, self._opened(database, key, value)

    def _seals(self, database: str, key: bytes | memoryview) -> bool:
        # Every format must be able to read which one it is.
        return self.sealed and database not in UNSEALED and key != b"format"

    def _opened(self, database: str, key: bytes | memoryview, stored: memoryview) -> memoryview:
        if not self._seals(database, key):
            return stored
        value = stored[:-CHECKSUM]
        if stored[-CHECKSUM:] != _checksum(key, value):
            raise self._damaged(f"an entry of {database} is not as written")
        return value

    @contextmanager
    def _walked(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, what: str) -> Damaged:
        return Damaged(
            f"the index at {self.folder} is damaged: {what}",
            "mocosearch verify tells what is; index into a new --index to start over",
        )


def _checksum(key: bytes | memoryview, value: bytes | memoryview) -> bytes:
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(CHECKSUM, "big")
