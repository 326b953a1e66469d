"""One LMDB environment: opening, growing, and the names of what is inside."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from indexes.store.errors import reported
from indexes.store.locks import WriterLock
from indexes.store.mapped import Mapped
from indexes.store.place import DATA, remove
from indexes.store.txn import Txn
from mocosearch.errors import Damaged, StorageFailed

FORMAT = 3
OLDER = frozenset({1, 2})
"""Formats that `migrate` brings up to this one."""
DATABASES = (
    "meta",
    "encoder",
    "images",
    "paths",
    "digests",
    "vectors",
    "segments",
    "deleted",
    "refused",
)
FIRST_MAP = 1 << 36
"""Bytes of address space, which take no memory and no room on the disk: so many that a map seldom
grows, because it may not while anything of this process reads it."""
READERS = 1024
"""Snapshots at one time, of all programs and threads together."""
TRIES = 50

T = TypeVar("T")


class Store:
    """The environment of one index. Open it once in a process, and close it."""

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool,
        wait: bool = False,
        first: Callable[[Txn], None] = lambda txn: None,
    ) -> None:
        """Opens what is there; a writable store is made where nothing is, with what `first` writes.

        `version` is the format found; only one of FORMAT may be read or written as such. wait:
        for another program that is changing it. Raises Busy, StorageFailed and Damaged.
        """
        self.folder, self.writable, self.registered = folder, writable, True
        self._writer_lock: WriterLock | None = None
        with reported(folder):
            if writable:
                self._writer_lock = WriterLock(folder, wait=wait)
            try:
                if writable and not (folder / DATA).exists():
                    self._install(lambda to: self._blank(to, first))
                self._start()
            except BaseException:
                self.close()
                raise

    def _blank(self, to: Path, first: Callable[[Txn], None]) -> None:
        env = lmdb.open(os.fspath(to), map_size=FIRST_MAP, max_dbs=len(DATABASES), mode=0o666)
        try:
            with env.begin(write=True, buffers=True) as txn:
                databases = {name: env.open_db(name.encode(), txn=txn) for name in DATABASES}
                txn.put(b"format", str(FORMAT).encode(), db=databases["meta"])
                first(Txn(txn, databases, self.folder))
        finally:
            env.close()

    def _start(self) -> None:
        if (self.folder / DATA).stat().st_size == 0:
            raise self._cut()
        for _ in range(TRIES):
            self.mapped = Mapped(self.folder / DATA)
            self.env = self._open(lock=True)
            fits, whole = self._lock_fits(), self._whole()
            if fits and self._data() == self.mapped.inode:
                break
            # Another program is between the two steps of `_install`, or was killed there.
            self._close()
            if self.writable:
                (self.folder / "lock.mdb").unlink(missing_ok=True)
            else:
                time.sleep(0.02)
        else:
            raise StorageFailed(
                f"the index at {self.folder} was replaced, and its old one is still in use",
                "end the programs that read it, then run the same command again",
            )
        if not whole:
            raise self._cut()
        self.databases = self._databases()
        self.version = self._version()

    def _open(self, lock: bool) -> lmdb.Environment:
        data = self.folder / DATA
        size = max(FIRST_MAP, 2 * data.stat().st_size if data.exists() else 0)
        try:
            return lmdb.open(
                os.fspath(self.folder),
                map_size=size,
                max_dbs=len(DATABASES),
                max_readers=READERS,
                readonly=not self.writable,
                create=self.writable,
                mode=0o666,
                lock=lock,
                readahead=False,
            )
        except (lmdb.ReadonlyError, lmdb.LockError, lmdb.Error) as error:
            # A disk that is mounted read-only takes no lock file, and no writer either.
            skipped = any(name in str(error) for name in ("Read-only", "Permission denied"))
            if not self.writable and lock and skipped and not os.access(self.folder, os.W_OK):
                self.registered = False
                return self._open(lock=False)
            raise

    def _whole(self) -> bool:
        """Whether all pages are there: reading beyond the end of a file would end the process."""
        pages = self.env.info()["last_pgno"] + 1
        needed: int = pages * self.env.stat()["psize"]
        return (self.folder / DATA).stat().st_size >= needed

    def _cut(self) -> Damaged:
        return Damaged(
            f"the index at {self.folder} is damaged: its file is cut off",
            "copy it again from where it is whole, or remove that folder and index again",
        )

    def _lock_fits(self) -> bool:
        """Whether the lock file counts this file's transactions, and not those of one before it,
        by which LMDB would choose an older state of this one.
        """
        before = self.env.info()["last_txnid"]
        with self._begin() as txn:
            at = txn.id()
        return bool(before <= at <= self.env.info()["last_txnid"])

    def _databases(self) -> dict[str, Any]:
        return {name: self.env.open_db(name.encode(), create=False) for name in DATABASES}

    def _version(self) -> int:
        meta = self.databases["meta"]
        with self.env.begin() as txn:
            found = txn.get(b"format", db=meta)
        told = "none" if found is None else found.decode(errors="replace")
        if told not in map(str, (FORMAT, *OLDER)):
            raise Damaged(
                f"the index at {self.folder} has format {told}, this mocosearch reads {FORMAT}",
                "update mocosearch, or index into another --index",
            )
        return int(told)

    def _txn(self, txn: lmdb.Transaction) -> Txn:
        sealed = self.version > 1
        return Txn(txn, self.databases, self.folder, sealed=sealed, file=self.mapped)

    def overtaken(self, txn: Txn) -> bool:
        """Whether another program may have written over what a snapshot shows: over one of a
        reader that could not register, from the second commit after it on.
        """
        return not self.registered and self.env.info()["last_txnid"] > txn.raw.id() + 1

    @contextmanager
    def read(self) -> Iterator[Txn]:
        """A consistent snapshot; views into it end with it."""
        with self._begin() as txn:
            yield self._txn(txn)

    def begin_read(self) -> Txn:
        """A snapshot that stays open until `txn.raw.abort()`."""
        return self._txn(self._begin())

    def _begin(self, write: bool = False) -> lmdb.Transaction:
        with reported(self.folder):
            try:
                return self.env.begin(write=write, buffers=True)
            except lmdb.ReadersFullError:
                # LMDB counts readers that were killed, until somebody looks who is alive.
                self.env.reader_check()
                return self.env.begin(write=write, buffers=True)
            except lmdb.MapResizedError:
                # Another program made the file grow past the map of this one.
                self._grow(0)
                return self.env.begin(write=write, buffers=True)

    def write(self, change: Callable[[Txn], T]) -> T:
        """Run `change` in one transaction: all of it is visible afterwards, or nothing.

        When the map is full it grows and `change` runs again, so `change` must build on the
        transaction alone. Raises StorageFailed.
        """
        with reported(self.folder):
            # No page is used again that a reader may see, were it dead long since.
            self.env.reader_check()
            while True:
                try:
                    with self._begin(write=True) as txn:
                        return change(self._txn(txn))
                except lmdb.MapFullError:
                    self._grow(self.env.info()["map_size"] * 2)

    def _grow(self, size: int) -> None:
        """Map the file anew; 0 is as large as it is now. Raises StorageFailed under a snapshot."""
        held = (line.split() for line in self.env.readers().splitlines()[1:])
        if any(pid == str(os.getpid()) and at.isdigit() for pid, _, at, *_ in held):
            raise StorageFailed(
                f"the index at {self.folder} has outgrown its map while this program reads it",
                "open it again",
            )
        self.env.set_mapsize(size)

    def replace(self, make: Callable[[Path], None]) -> None:
        """Put another environment in place of this one, whole or not at all, and go on with it.

        make: writes a `data.mdb` into the folder that it is given. Other programs that read the
        old one go on with it. Raises StorageFailed, and is closed then.
        """
        with reported(self.folder):
            try:
                self._install(make)
                self._start()
            except BaseException:
                self.close()
                raise

    def _install(self, make: Callable[[Path], None]) -> None:
        fresh = self.folder / ".next"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            make(fresh)
            with open(fresh / DATA, "rb") as file:
                os.fsync(file.fileno())
            self._close()
            os.replace(fresh / DATA, self.folder / DATA)
            # The readers that it counts are those of the old file.
            (self.folder / "lock.mdb").unlink(missing_ok=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def follow(self) -> bool:
        """Open what another program has put in this one's place, if it has; whether it has.

        No snapshot of this one may be in use. Raises Damaged, StorageFailed.
        """
        with reported(self.folder):
            if self._data() == self.mapped.inode:
                return False
            self._close()
            self._start()
            return True

    def _data(self) -> int:
        return (self.folder / DATA).stat().st_ino

    def discard(self) -> None:
        """Close it, its files removed before another program can change it."""
        self._close()
        remove(self.folder)
        self.close()

    def close(self) -> None:
        """Views into open transactions are void afterwards."""
        self._close()
        if self._writer_lock is not None:
            self._writer_lock.release()

    def _close(self) -> None:
        if hasattr(self, "mapped"):
            self.mapped.close()
        if hasattr(self, "env"):
            self.env.close()
