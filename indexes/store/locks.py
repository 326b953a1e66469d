"""The writer's lock: one program at a time changes an index. And space for LMDB's lock file."""

import errno
import os
import sys
import time
from pathlib import Path

from mocosearch.errors import Busy

LOCK = "writer.lock"
INTERVAL = 0.1
"""Seconds between two attempts to take the lock."""
_OFFSET = 1 << 20
"""The byte that Windows locks: it lets nobody read a locked byte, and the file holds a number."""


class WriterLock:
    """The right to change an index, until `release` or the end of the process.

    It is a lock on a file beside the data. The file holds the process id of the writer. The
    system releases the lock when that process ends, however it ends.
    """

    def __init__(self, folder: Path, *, seconds: float = 0.0) -> None:
        """Creates the folder where there is none. seconds: how long to wait for another writer;
        infinity waits until it has finished. Raises Busy, OSError.
        """
        self._file = -1
        deadline = time.monotonic() + seconds
        try:
            while not self._try_lock(folder):
                if time.monotonic() >= deadline:
                    raise self._busy(folder)
                time.sleep(INTERVAL)
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, str(os.getpid()).encode())
        except BaseException:
            self.release()
            raise

    def _try_lock(self, folder: Path) -> bool:
        # The file is opened again each time: another writer may have removed it with the index.
        self.release()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._file)
            return os.path.samestat(os.fstat(self._file), os.stat(folder / LOCK))
        except (BlockingIOError, PermissionError, FileNotFoundError):
            return False

    def _busy(self, folder: Path) -> Busy:
        os.lseek(self._file, 0, os.SEEK_SET)
        pid = os.read(self._file, 20).decode(errors="replace")
        writer = f"process {pid}" if pid.isdigit() else "another program"
        return Busy(
            f"{writer} is changing the index at {folder}",
            "run it again when that is done; mocosearch index --wait waits for it",
        )

    def release(self) -> None:
        """Let another program change the index."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _lock(file: int) -> None:
    """Raises BlockingIOError, or PermissionError on Windows, where another process has the lock."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _OFFSET, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def reserve(file: Path, size: int) -> None:
    """Create LMDB's lock file with all its blocks, where there is none.

    LMDB creates it without any. On a full disk the system would end the process when it writes
    into its map of the file (SIGBUS). Raises OSError where the disk is full; any other error is
    left to LMDB.
    """
    if sys.platform == "win32" or not hasattr(os, "posix_fallocate") or file.exists():
        return
    try:
        number = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            os.posix_fallocate(number, 0, size)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            file.unlink(missing_ok=True)
            raise
