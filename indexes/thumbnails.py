"""Thumbnails of an index's photos, in an LMDB environment beside it.

They are made once, and stand in for photos on disks that are not there. A thumbnail belongs to a
file's content, so it survives a move of the file and a new encoder. The environment is a cache: it
may be removed at any time, and one that cannot be read or written is not an error.
"""

import contextlib
import os
import shutil
import struct
import threading
import zlib
from pathlib import Path
from typing import Self

import lmdb

from indexes.store.place import THUMBNAILS

LIMIT = 2_000_000_000
"""Bytes on the disk, by default: about 100,000 thumbnails of 320 pixels."""
LEAST = 16_000_000
"""The smallest limit, in bytes."""
FILL = 0.8
"""Share of the limit that thumbnails may take; LMDB needs the rest to change its pages."""
EVICT = 0.05
"""Share of the limit that is freed at once."""
READERS = 256
PAGE = 4096
PENDING = 64
"""Thumbnails that wait for the writing thread; with more, new ones are not stored."""
_ENTRY = struct.Struct(">QI")
"""Before each thumbnail: its number, and the checksum of its bytes."""
_ERRORS = (lmdb.Error, OSError)


class Thumbnails:
    """Pictures as files, by the digest of the original and the length of the longest side.

    When the limit is reached, those that were stored first are removed. Threads may share it.
    """

    def __init__(self, env: lmdb.Environment | None, limit: int) -> None:
        self.limit = limit
        self._env = env
        self._writing = threading.Lock()
        self._pending: dict[bytes, bytes] = {}
        if env is not None:
            self._data = env.open_db(b"thumbnails")
            self._order = env.open_db(b"order")

    @classmethod
    def open(cls, folder: Path, limit: int = LIMIT) -> Self:
        """Those of the index in a folder; none are stored where its disk cannot be written.

        limit: bytes on the disk. One that is damaged, or larger than the limit, is made anew.
        """
        place, limit = folder / THUMBNAILS, max(limit, LEAST)
        for _ in range(2):
            try:
                place.mkdir(exist_ok=True)
                if (place / "data.mdb").exists() and (place / "data.mdb").stat().st_size > limit:
                    shutil.rmtree(place)
                    continue
                return cls(_environment(place, limit), limit)
            except lmdb.Error:
                shutil.rmtree(place, ignore_errors=True)
            except OSError:
                break
        return cls(None, limit)

    def get(self, digest: str, side: int) -> bytes | None:
        """A thumbnail; None where there is none, or where it is damaged."""
        key = _key(digest, side)
        pending = self._pending.get(key)
        if pending is not None or self._env is None:
            return pending
        try:
            with self._env.begin(db=self._data) as txn:
                stored = txn.get(key)
        except _ERRORS:
            return None
        if stored is None or zlib.crc32(stored[_ENTRY.size :]) != _ENTRY.unpack_from(stored)[1]:
            return None
        return bytes(stored[_ENTRY.size :])

    def put(self, digest: str, side: int, picture: bytes) -> None:
        """Store a thumbnail, soon; where that is not possible, it is not stored."""
        if self._env is None or len(self._pending) >= PENDING:
            return
        self._pending[_key(digest, side)] = picture
        self.flush(wait=False)

    def flush(self, wait: bool = True) -> None:
        """Store what is pending; without `wait`, only if no other thread does so now."""
        while self._pending and self._writing.acquire(blocking=wait):
            try:
                batch = dict(list(self._pending.items()))
                self._write(batch)
                for key in batch:
                    self._pending.pop(key, None)
            finally:
                self._writing.release()

    @property
    def size(self) -> int:
        """Bytes that the thumbnails take."""
        if self._env is None:
            return 0
        try:
            return self._used()
        except _ERRORS:
            return 0

    def __len__(self) -> int:
        """Number of thumbnails that are stored."""
        if self._env is None:
            return 0
        with self._env.begin() as txn:
            return int(txn.stat(self._data)["entries"])

    def close(self) -> None:
        """Store what is pending and close the environment."""
        if self._env is not None:
            self.flush()
            self._env.close()
            self._env = None

    def _used(self) -> int:
        assert self._env is not None
        with self._env.begin() as txn:
            pages = 0
            for database in (self._data, self._order):
                stat = txn.stat(database)
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages) * PAGE

    def _write(self, batch: dict[bytes, bytes]) -> None:
        assert self._env is not None
        need = sum(len(picture) + 2 * PAGE for picture in batch.values())
        for share in (0.0, EVICT, 4 * EVICT):
            try:
                excess = self._used() + need - FILL * self.limit
                free = max(excess, share * self.limit)
                if free > 0:
                    self._evict(max(free, EVICT * self.limit))
                self._add(batch)
                return
            except lmdb.MapFullError:
                # The free pages are not consecutive.
                continue
            except _ERRORS:
                return

    def _add(self, batch: dict[bytes, bytes]) -> None:
        assert self._env is not None
        with self._env.begin(write=True) as txn:
            number = _newest(txn, self._order) + 1
            for key, picture in batch.items():
                before = txn.get(key, db=self._data)
                if before is not None:
                    txn.delete(before[:8], db=self._order)
                txn.put(key, _ENTRY.pack(number, zlib.crc32(picture)) + picture, db=self._data)
                txn.put(number.to_bytes(8, "big"), key, db=self._order)
                number += 1

    def _evict(self, free: float) -> None:
        """Remove the oldest thumbnails, until so many bytes are free."""
        assert self._env is not None
        with self._env.begin(write=True) as txn:
            freed = 0
            with txn.cursor(self._order) as cursor:
                more = cursor.first()
                while more and freed < free:
                    key = cursor.value()
                    stored = txn.get(key, db=self._data)
                    freed += PAGE + len(stored or b"")
                    txn.delete(key, db=self._data)
                    more = cursor.delete()


def _environment(place: Path, limit: int) -> lmdb.Environment:
    env = lmdb.open(
        os.fspath(place),
        # A multiple of every system's page size.
        map_size=limit - limit % (1 << 16),
        max_dbs=2,
        max_readers=READERS,
        mode=0o600,
        readahead=False,
        lib_version=0,
    )
    with contextlib.suppress(*_ERRORS):
        env.reader_check()
    return env


def _newest(txn: lmdb.Transaction, order: object) -> int:
    with txn.cursor(order) as cursor:  # type: ignore[arg-type]
        return int.from_bytes(cursor.key(), "big") if cursor.last() else 0


def _key(digest: str, side: int) -> bytes:
    return bytes.fromhex(digest) + side.to_bytes(2, "big")
