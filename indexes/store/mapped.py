"""The file of a store mapped once more, for large values that are not to be read from end to end.

The Python binding touches every page of a value that it is asked for: of the FAISS index of a
million photos it would read 500 MB from the disk for a question that looks at a few of them.
"""

import mmap
import os
import threading
from contextlib import suppress
from pathlib import Path

from indexes.store import layout


class Mapped:
    """One file, by whatever name it goes later; views outlive `close`. Safe from threads."""

    def __init__(self, file: Path) -> None:
        """Raises OSError."""
        self._file = open(file, "rb")  # noqa: SIM115
        self._data: mmap.mmap | None = None
        self._growing = threading.Lock()

    @property
    def inode(self) -> int:
        """Of the file that is mapped."""
        return os.fstat(self._file.fileno()).st_ino

    def data(self) -> mmap.mmap:
        """All of it, as it is now; slices are bytes. Raises OSError, and ValueError if closed."""
        size = os.fstat(self._file.fileno()).st_size
        with self._growing:
            if self._data is None or len(self._data) < size:
                self._data = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ)
                if hasattr(mmap, "MADV_RANDOM"):
                    self._data.madvise(mmap.MADV_RANDOM)
            return self._data

    def view(self, commit: int, database: str, key: bytes, *, whole: bool) -> memoryview | None:
        """A value in the state of a commit, nothing of it read yet; None where `layout` does not
        find it. Good for as long as a snapshot of that commit. whole: all of it will be read soon.
        Raises layout.Torn.
        """
        try:
            data = self.data()
            place = layout.find(data, commit, database.encode(), key)
        except (OSError, ValueError):
            return None
        if place is None:
            return None
        first, count = place
        if whole and hasattr(mmap, "MADV_WILLNEED"):
            page = first - first % mmap.PAGESIZE
            data.madvise(mmap.MADV_WILLNEED, page, first + count - page)
        return memoryview(data)[first : first + count]

    def close(self) -> None:
        """No further views; what is not looked at is unmapped."""
        self._file.close()
        if self._data is not None:
            with suppress(BufferError):
                self._data.close()
