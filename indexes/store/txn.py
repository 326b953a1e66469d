"""A transaction that detects damaged values."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from indexes.store import layout
from indexes.store.mapped import FileMap
from mocosearch.errors import Damaged

WITHOUT_CHECKSUMS = frozenset({"encoder", "segments", "regions"})
"""Databases of large values, which have digests of their own."""
OF_ANY_LENGTH = frozenset({"meta", "images", "columns"})
"""Databases whose values may take pages of their own, and change their length."""
CHECKSUM = 4
"""Bytes."""


class Txn:
    """A transaction with its databases by name: `txn.get("images", key)` and the like.

    Small values end in a checksum of key and value, which is written and checked here: a value
    that was damaged on the disk is never returned. `checksums` is False for format 1 alone.
    `file_map` is the store's, for `view`.
    """

    def __init__(
        self,
        txn: lmdb.Transaction,
        databases: dict[str, Any],
        folder: Path,
        *,
        checksums: bool = True,
        file_map: FileMap | None = None,
        verified: set[str] | None = None,
    ) -> None:
        self.raw, self.databases, self.folder = txn, databases, folder
        self.checksums, self.file_map = checksums, file_map
        self.verified = set() if verified is None else verified
        """Digests of large values that this process has compared with what is stored."""
        self.stale: set[int] = set()
        """Ids whose records this transaction wrote or deleted: see `columns.update`."""

    @property
    def version(self) -> str:
        """The file and the number of its commit."""
        inode = self.file_map.inode if self.file_map else 0
        return f"{inode:x}-{self.raw.id():x}"

    def get(self, database: str, key: bytes) -> memoryview | None:
        """A view into the memory map, valid as long as the transaction. Raises Damaged."""
        with self._lmdb_errors():
            stored: Any = self.raw.get(key, db=self.databases[database])
        return None if stored is None else self._checked(database, key, stored)

    def get_many(self, database: str, keys: Sequence[bytes]) -> list[memoryview]:
        """The values of those keys that exist, in the order of the keys: a third of the time that
        `get` takes for each. Valid as long as the transaction. Raises Damaged.
        """
        with self._lmdb_errors(), self.raw.cursor(self.databases[database]) as cursor:
            entries: Any = cursor.getmulti(keys)
        return [self._checked(database, key, value) for key, value in entries]

    def view(self, database: str, key: bytes, *, whole: bool) -> memoryview | None:
        """A view of a large value, which reads nothing from the disk yet where that is possible.

        For databases without checksums. Valid as long as the transaction. whole: all of it will
        be read soon, not parts of it. Raises Damaged.
        """
        file_map, commit = self.file_map, self.raw.id()
        try:
            view = file_map.view(commit, database, key, whole=whole) if file_map else None
        except layout.BrokenPage as error:
            # LMDB would follow its pages out of the map, which ends the process.
            raise self._damaged("a page leads nowhere") from error
        return self.get(database, key) if view is None else view

    def keys(self, database: str) -> Iterator[bytes]:
        """All keys in order; no value is read. Raises Damaged."""
        with self._lmdb_errors(), self.raw.cursor(self.databases[database]) as cursor:
            yield from map(bytes, cursor.iternext(keys=True, values=False))

    def put(self, database: str, key: bytes, value: bytes | memoryview) -> None:
        """Write or replace a value."""
        self._note(database, key)
        if self._has_checksum(database, key):
            value = bytes(value) + _checksum(key, value)
        if database in OF_ANY_LENGTH:
            # For a shorter value of the same transaction LMDB keeps the longer run of pages, which
            # `lmdb.verify` reports as damage.
            self.raw.delete(key, db=self.databases[database])
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
        with self._lmdb_errors():
            return int(self.raw.stat(self.databases[database])["entries"])

    def items(self, database: str) -> Iterator[tuple[memoryview, memoryview]]:
        """All entries in the order of their keys. Raises Damaged."""
        with self._lmdb_errors(), self.raw.cursor(self.databases[database]) as cursor:
            entries: Any = cursor
            for key, value in entries:
                yield key, self._checked(database, key, value)

    def _has_checksum(self, database: str, key: bytes | memoryview) -> bool:
        # Every version of the program must be able to read the number of the format.
        return self.checksums and database not in WITHOUT_CHECKSUMS and key != b"format"

    def _checked(self, database: str, key: bytes | memoryview, stored: memoryview) -> memoryview:
        if not self._has_checksum(database, key):
            return stored
        value = stored[:-CHECKSUM]
        if stored[-CHECKSUM:] != _checksum(key, value):
            raise self._damaged(f"the checksum of an entry of {database} is wrong")
        return value

    @contextmanager
    def _lmdb_errors(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, fault: str) -> Damaged:
        return Damaged(
            f"the index at {self.folder} is damaged: {fault}",
            "mocosearch verify reports what is; index into a new --index to start over",
        )


def _checksum(key: bytes | memoryview, value: bytes | memoryview) -> bytes:
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(CHECKSUM, "big")
