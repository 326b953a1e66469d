"""Memory of the server's process, and pages of files that need not be in it.

The system maps the file of an index into the process. Pages that were read count as memory of the
process, although they are the system's cache of the file: it takes them whenever a program needs
memory. `release` gives them back, and a page that is read again comes from that cache.
"""

import ctypes
import mmap
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 200_000_000
"""Of pages of files; a search of a million keys touches about 1 MB."""
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r--s \S+ \S+ \S+ +(.+)\n")


def resident_bytes() -> int:
    """Memory of this process with pages of files; 0 where the system does not tell."""
    return _pages(1)


def mapped_bytes() -> int:
    """That part of it which is pages of files; 0 where the system does not tell."""
    return _pages(2)


def _pages(field: int) -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[field]) * mmap.PAGESIZE
    except (OSError, ValueError):
        return 0


def release(folder: Path, most: int = MOST_BYTES) -> None:
    """Give back the pages of the files in a folder, if more than `most` bytes of files are mapped.

    Other threads may read them meanwhile: the mappings stay, and they are read-only and shared.
    """
    if sys.platform != "linux" or mapped_bytes() <= most:
        return
    library = ctypes.CDLL(None, use_errno=True)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, size in _mappings(folder):
        library.madvise(start, size, mmap.MADV_DONTNEED)


def _mappings(folder: Path) -> Iterator[tuple[int, int]]:
    """Addresses and sizes of the read-only shared mappings of a folder's files."""
    place = os.path.join(os.path.realpath(folder), "")
    with open("/proc/self/maps", errors="surrogateescape") as file:
        for line in file:
            mapping = _MAPPING.fullmatch(line)
            if mapping is not None and mapping[3].startswith(place):
                start, end = (int(mapping[number], 16) for number in (1, 2))
                yield start, end - start
