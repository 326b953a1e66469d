"""How much address space LMDB maps: little of it where a process has little (`ulimit -v`)."""

import mmap
import os
from pathlib import Path
from typing import Any

import lmdb

from mocosearch.errors import StorageFailed

FIRST_MAP = 1 << 36
"""Bytes of address space, which cost neither memory nor disk space. So large that a map seldom has
to grow, which it cannot while this process reads from it."""
SMALL_MAP = 1 << 26
"""Where FIRST_MAP does not fit, a map begins with so many bytes, and grows."""
STEPS = (2.0, 1.5, 1.2)
"""By how much it grows: the largest that fits."""
UNIT = 1 << 16
"""Divisor of a map's size: the largest page size of any system."""


def open_environment(folder: Path, data: int, **options: Any) -> lmdb.Environment:
    """LMDB's environment in a folder; data: bytes of its file. Raises lmdb.Error."""
    sizes = [max(FIRST_MAP, 2 * data), max(SMALL_MAP, _aligned(1.2 * data))]
    for size in sizes:
        try:
            return lmdb.open(os.fspath(folder), map_size=size, **options)
        except lmdb.MemoryError:
            if size == sizes[-1]:
                raise
    raise AssertionError


def larger(size: int) -> int:
    """The size of the next map. Raises StorageFailed where no larger one fits."""
    for step in STEPS:
        after = _aligned(step * size)
        if _fits(after - size):
            return after
    raise no_address_space()


def no_address_space() -> StorageFailed:
    """The error where a process may map no more."""
    return StorageFailed(
        "not enough address space for the index", "raise the limit: ulimit -v unlimited"
    )


def _aligned(size: float) -> int:
    return -(-int(size) // UNIT) * UNIT


def _fits(size: int) -> bool:
    """Whether so much more can be mapped: LMDB gives up its old map before it tries."""
    if os.name == "nt":
        return True
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
