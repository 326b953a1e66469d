"""A second map of a store's file, for large values that are not to be read from end to end.

The Python binding touches every page of a value that it returns: of the FAISS index of a million
photos it would read 500 MB from the disk for a query that needs a few of them.
"""

import mmap
import os
import threading
from contextlib import suppress
from pathlib import Path

from indexes.store import layout


class FileMap:
    """One file, even after it is renamed or removed; views outlive `close`. Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Raises OSError."""
        self._file = open(file, "rb")  # noqa: SIM115
        self._data: mmap.mmap | None = None
        self._lock = threading.Lock()

    @property
    def inode(self) -> int:
        """The inode of the file."""
        return os.fstat(self._file.fileno()).st_ino

    def data(self) -> mmap.mmap:
        """The whole file at its present size; slices are bytes. Raises OSError, and ValueError
        after `close`.
        """
        size = os.fstat(self._file.fileno()).st_size
        with self._lock:
            if self._data is None or len(self._data) < size:
                self._data = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ)
                if hasattr(mmap, "MADV_RANDOM"):
                    self._data.madvise(mmap.MADV_RANDOM)
            return self._data

    def view(self, commit: int, database: str, key: bytes, *, whole: bool) -> memoryview | None:
        """A value in the state of a commit, not yet read; None where `layout` does not find it.

        Valid as long as a snapshot of that commit. whole: all of it will be read soon. Raises
        layout.BrokenPage.
        """
        try:
            data = self.data()
            place = layout.find(data, commit, database.encode(), key)
        except (OSError, ValueError):
            return None
        if place is None:
            return None
        start, size = place
        if whole and hasattr(mmap, "MADV_WILLNEED"):
            page = start - start % mmap.PAGESIZE
            data.madvise(mmap.MADV_WILLNEED, page, start + size - page)
        return memoryview(data)[start : start + size]

    def close(self) -> None:
        """No more views; the map goes when its last view does."""
        self._file.close()
        if self._data is not None:
            with suppress(BufferError):
                self._data.close()
