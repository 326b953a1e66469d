"""One program at a time changes an index; the others are told which."""

import os
import sys
import time
from pathlib import Path

from mocosearch.errors import Busy

LOCK = "writer.lock"
ASKED_EVERY = 0.1
_BEYOND = 1 << 20
"""The byte that is locked on Windows, which lets nobody read a locked one."""


class WriterLock:
    """The right to change an index, from the start until `release` or the process's end.

    A lock on a file beside the data, which holds the number of the process. The system lets go
    of it when the process ends, however it ends.
    """

    def __init__(self, folder: Path, *, wait: bool = False) -> None:
        """The folder is made where there is none. wait: until the other program is done. Raises
        Busy, OSError.
        """
        self._file = -1
        try:
            while not self._taken(folder):
                if not wait:
                    raise self._busy(folder)
                time.sleep(ASKED_EVERY)
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, str(os.getpid()).encode())
        except BaseException:
            self.release()
            raise

    def _taken(self, folder: Path) -> bool:
        """The file is opened anew, for whoever held it may have removed it with the index."""
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
        told = os.read(self._file, 20).decode(errors="replace")
        who = f"process {told}" if told.isdigit() else "another program"
        return Busy(
            f"{who} is changing the index at {folder}",
            "run it again when that is done; mocosearch index --wait waits for it",
        )

    def release(self) -> None:
        """Let another program change the index."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _lock(file: int) -> None:
    """Raises BlockingIOError, or PermissionError on Windows, where another process has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _BEYOND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
