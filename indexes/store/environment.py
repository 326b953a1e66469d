"""The LMDB environment of an index: opening, growing, replacing, and its databases."""

import errno
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from indexes.store import columns
from indexes.store.errors import storage_errors
from indexes.store.locks import WriterLock, reserve
from indexes.store.mapped import FileMap
from indexes.store.mapsize import larger, open_environment
from indexes.store.place import DATA, remove
from indexes.store.txn import Txn
from mocosearch.errors import Damaged, StorageFailed
from mocosearch.processes import fork_error

FORMAT = 5
OLDER = frozenset({1, 2, 3, 4})
"""Formats that `migrate` converts to this one."""
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
    "columns",
    "regions",
)
LATER = {"columns": 4, "regions": 5}
"""Databases that formats before this one do not have."""
READERS = 1024
"""Open snapshots at one time, across all programs and threads."""
LOCK = "lock.mdb"
"""LMDB's table of readers and its newest transaction."""
LOCK_BYTES = 64 * (READERS + 2)
"""At least the size of that file: a line of the processor's cache per reader."""
ENGINE = 0
"""LMDB 0.9 writes new environments: its data format is the one that `layout` and older versions of
the binding read. LMDB 1.0 has another."""
TRIES = 50
PAUSE = 0.02
"""Attempts of a reader to open an index that is being replaced, and seconds between two."""

T = TypeVar("T")


class Store:
    """The environment of one index. Open it once per process, and close it."""

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool,
        wait: bool = False,
        initialise: Callable[[Txn], None] = lambda txn: None,
    ) -> None:
        """Opens an environment. If writable, it is created where there is none, and `initialise`
        runs in its first transaction.

        `version` is the format of the data; only FORMAT may be read or written as it is. wait: for
        another writer to finish. Raises Busy, StorageFailed, Damaged.
        """
        self.folder, self.writable, self.has_lock_file = folder, writable, True
        self._process = os.getpid()
        self._writer_lock: WriterLock | None = None
        with storage_errors(folder):
            if writable:
                self._writer_lock = WriterLock(folder, seconds=math.inf if wait else 0.0)
            try:
                if writable and not (folder / DATA).exists():
                    self._install(lambda to: self._create(to, initialise))
                self._start()
            except BaseException:
                self.close()
                raise

    def _create(self, to: Path, initialise: Callable[[Txn], None]) -> None:
        reserve(to / LOCK, LOCK_BYTES)
        env = open_environment(
            to,
            0,
            max_dbs=len(DATABASES),
            mode=0o666,
            lib_version=ENGINE,
        )
        try:
            with env.begin(write=True, buffers=True) as txn:
                databases = {name: env.open_db(name.encode(), txn=txn) for name in DATABASES}
                txn.put(b"format", str(FORMAT).encode(), db=databases["meta"])
                initialise(Txn(txn, databases, self.folder))
        finally:
            env.close()

    def _start(self) -> None:
        if (self.folder / DATA).stat().st_size == 0:
            raise self._truncated()
        for _ in range(TRIES):
            self.file_map = FileMap(self.folder / DATA)
            before = _inode(self.folder / LOCK)
            self.env = self._open(lock=True)
            self._lock_inode = _inode(self.folder / LOCK)
            # A reader that has created the lock file looks again whether it is still the same one.
            same_lock = before == self._lock_inode or (self.writable and before is None)
            matches, complete = self._lock_matches(), self._is_complete()
            if matches and same_lock and self._data_inode() == self.file_map.inode:
                break
            # Another program is between the two steps of `_install`, or was killed there.
            self._close()
            if self.writable:
                (self.folder / LOCK).unlink(missing_ok=True)
            elif before is not None:
                time.sleep(PAUSE)
        else:
            raise StorageFailed(
                f"the index at {self.folder} was replaced, and its old one is still in use",
                "end the programs that read it, then run the same command again",
            )
        if not complete:
            raise self._truncated()
        self._verified: set[str] = set()
        self.version = self._version()
        self.databases = self._databases()

    def _open(self, lock: bool) -> lmdb.Environment:
        data = self.folder / DATA
        try:
            if lock:
                reserve(self.folder / LOCK, LOCK_BYTES)
            return open_environment(
                self.folder,
                data.stat().st_size if data.exists() else 0,
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
            denied = any(name in str(error) for name in ("Read-only", "Permission denied"))
            if not self.writable and lock and denied and not os.access(self.folder, os.W_OK):
                return self._open(lock=False)
            raise
        except OSError as error:
            # A reader needs no lock file: see `is_overtaken`.
            if error.errno == errno.ENOSPC and not self.writable:
                return self._open(lock=False)
            raise

    def _is_complete(self) -> bool:
        """Whether the file holds all pages in use: reading past its end would kill the process."""
        if (self.folder / DATA).stat().st_size >= self._full_size():
            return True
        # Written by an earlier version, or killed before `_fill`. The import takes 5 ms.
        from lmdb import verify

        try:
            return not verify.verify(self.folder)  # type: ignore[no-untyped-call]
        except verify.VerifyError:
            return False

    def _full_size(self) -> int:
        """Bytes of all pages up to the last that LMDB has given out."""
        pages: int = self.env.info()["last_pgno"] + 1
        return pages * int(self.env.stat()["psize"])

    def _fill(self) -> None:
        """Extend the file to its last page. LMDB never writes a page that one transaction takes
        and frees again, so the file may end before it, and look as if it were cut off.
        """
        data, size = self.folder / DATA, self._full_size()
        with suppress(OSError):
            if data.stat().st_size < size:
                os.truncate(data, size)

    def _truncated(self) -> Damaged:
        return Damaged(
            f"the index at {self.folder} is damaged: its file is cut off",
            "copy it again from an undamaged one, or remove that folder and index again",
        )

    def _lock_matches(self) -> bool:
        """Whether the lock file counts the transactions of this data file. With one that belongs
        to an earlier file, LMDB would choose an older state of the data.
        """
        before = self.env.info()["last_txnid"]
        with self._begin() as txn:
            number = txn.id()
            # LMDB opens a read-only disk without its lock file, and does not say so.
            self.has_lock_file = bool(self.env.info()["num_readers"]) or self.writable
        return bool(before <= number <= self.env.info()["last_txnid"])

    def _databases(self) -> dict[str, Any]:
        older = {name for name, first in LATER.items() if self.version < first}
        # An older index that is open for changes is about to be migrated.
        return {
            name: self.env.open_db(name.encode(), create=name in older)
            for name in DATABASES
            if self.writable or name not in older
        }

    def _version(self) -> int:
        meta = self.env.open_db(b"meta", create=False)
        with self.env.begin() as txn:
            stored = txn.get(b"format", db=meta)
        version = "none" if stored is None else stored.decode(errors="replace")
        if version not in map(str, (FORMAT, *OLDER)):
            raise Damaged(
                f"the index at {self.folder} has format {version}, this mocosearch reads {FORMAT}",
                "update mocosearch, or index into another --index",
            )
        return int(version)

    def _txn(self, txn: lmdb.Transaction) -> Txn:
        return Txn(
            txn,
            self.databases,
            self.folder,
            checksums=self.version > 1,
            file_map=self.file_map,
            verified=self._verified,
        )

    def is_overtaken(self, txn: Txn) -> bool:
        """Whether a writer may have reused pages of a snapshot: it does so from the second commit
        on, unless the lock file that it reads lists the snapshot.
        """
        protected = self.has_lock_file and not self._lost_lock()
        return not protected and self.env.info()["last_txnid"] > txn.raw.id() + 1

    def _lost_lock(self) -> bool:
        """Whether writers of this data file use another lock file than this process."""
        return (
            self.has_lock_file
            and _inode(self.folder / DATA) == self.file_map.inode
            and _inode(self.folder / LOCK) != self._lock_inode
        )

    @contextmanager
    def read(self) -> Iterator[Txn]:
        """A consistent snapshot; views into it end with it."""
        with self._begin() as txn:
            yield self._txn(txn)

    def begin_read(self) -> Txn:
        """A snapshot that stays open until `txn.raw.abort()`. Raises StorageFailed."""
        txn = self._txn(self._begin())
        if self._lost_lock() and self.is_overtaken(txn):
            txn.raw.abort()
            raise StorageFailed(
                f"the index at {self.folder} was replaced while this program opened it",
                "open it again",
            )
        return txn

    def newest_version(self) -> str:
        """`Txn.version` of what is committed now. Raises StorageFailed."""
        with storage_errors(self.folder):
            return f"{self._data_inode():x}-{self.env.info()['last_txnid']:x}"

    def check_process(self) -> None:
        """Raises Unsuitable in a fork of the process that opened it: LMDB forbids its use there."""
        if self._process != os.getpid():
            raise fork_error()

    def _begin(self, write: bool = False) -> lmdb.Transaction:
        self.check_process()
        with storage_errors(self.folder):
            try:
                return self.env.begin(write=write, buffers=True)
            except lmdb.ReadersFullError:
                # LMDB counts readers that were killed, until `reader_check`.
                self.env.reader_check()
                return self.env.begin(write=write, buffers=True)
            except lmdb.MapResizedError:
                # Another program made the file grow past the map of this process.
                self._grow(0)
                return self.env.begin(write=write, buffers=True)

    def write(self, change: Callable[[Txn], T]) -> T:
        """Run `change` in one transaction: all of it is visible afterwards, or nothing.

        When the map is full it grows and `change` runs again, so `change` must build on the
        transaction alone. Raises StorageFailed.
        """
        with storage_errors(self.folder):
            # LMDB reuses no page that a reader may see, even a reader that has died.
            self.env.reader_check()
            while True:
                try:
                    with self._begin(write=True) as raw:
                        txn = self._txn(raw)
                        result = change(txn)
                        columns.update(txn)
                    self._fill()
                    return result
                except lmdb.MapFullError:
                    self._grow(larger(self.env.info()["map_size"]))

    def _grow(self, size: int) -> None:
        """Map the file again; 0 means its present size. Raises StorageFailed under a snapshot."""
        readers = (line.split() for line in self.env.readers().splitlines()[1:])
        if any(pid == str(os.getpid()) and txn.isdigit() for pid, _, txn, *_ in readers):
            raise StorageFailed(
                f"the index at {self.folder} has outgrown its map while this program reads it",
                "open it again",
            )
        self.env.set_mapsize(size)

    def replace(self, make: Callable[[Path], None]) -> None:
        """Replace this environment by another, completely or not at all, and open that one.

        make: writes a `data.mdb` into the folder that it gets. Other programs that read the old
        one continue to. Raises StorageFailed, which leaves the store closed.
        """
        with storage_errors(self.folder):
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
            # The lock file goes first. A reader that enters between the two steps reads the old
            # data, which nobody changes again; in the other order it would read the new data with
            # a lock file that the writer is about to remove, and the writer would not see it.
            (self.folder / LOCK).unlink(missing_ok=True)
            os.replace(fresh / DATA, self.folder / DATA)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def follow(self) -> bool:
        """Open again if another program has replaced the data or the lock file; whether it has.

        No snapshot may be in use. Raises Damaged, StorageFailed.
        """
        with storage_errors(self.folder):
            if self._data_inode() == self.file_map.inode and not self._lost_lock():
                return False
            self._close()
            self._start()
            return True

    def _data_inode(self) -> int:
        return (self.folder / DATA).stat().st_ino

    def discard(self) -> None:
        """Close it and remove its files, before another program can change it."""
        self._close()
        remove(self.folder)
        self.close()

    def close(self) -> None:
        """Views into open transactions are invalid afterwards."""
        self._close()
        if self._writer_lock is not None:
            self._writer_lock.release()

    def _close(self) -> None:
        if hasattr(self, "file_map"):
            self.file_map.close()
        if hasattr(self, "env"):
            self.env.close()


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None
