"""Walk folders and list what might be a photo, without opening a single file."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mocosearch.errors import NotFound

LEFT_OUT = frozenset(
    {"@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle"}
)
"""Folders of the system's own, left out beside every hidden one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file: `size` in bytes, `mtime` in nanoseconds since 1970."""

    path: str
    size: int
    mtime: int


def roots_of(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Absolute paths of the given folders or files, each once, none inside another.

    Raises NotFound for a path that does not exist.
    """
    wanted: dict[str, None] = {}
    for folder in folders:
        path = os.path.abspath(os.path.expanduser(os.fspath(folder)))
        if not os.path.exists(path):
            raise NotFound(f"no such folder: {path}", "check the spelling, or mount the disk")
        wanted[path] = None
    return [path for path in wanted if not any(above in wanted for above in _parents(path))]


def _parents(path: str) -> Iterator[str]:
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


def inside(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it; both absolute."""
    return path == root or path.startswith(os.path.join(root, ""))


def scan(
    roots: Sequence[str], unreadable: Callable[[str], None] = lambda folder: None
) -> Iterator[Found]:
    """Every regular file below the roots, in a stable order, each real folder once.

    Links to folders are followed and loops end, because a folder is known by its device and
    inode. Hidden files and folders and `LEFT_OUT` are passed over. `unreadable` hears of
    folders that may not be read. Nothing that is not a regular file is ever opened.
    """
    seen: set[tuple[int, int]] = set()
    for root in roots:
        try:
            status = os.stat(root)
        except OSError:
            unreadable(root)
            continue
        if stat.S_ISREG(status.st_mode):
            yield Found(root, status.st_size, status.st_mtime_ns)
        elif stat.S_ISDIR(status.st_mode):
            yield from _walk(root, seen, unreadable)


def _walk(
    folder: str, seen: set[tuple[int, int]], unreadable: Callable[[str], None]
) -> Iterator[Found]:
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            here = os.stat(folder)
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError:
            unreadable(folder)
            continue
        below = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name in LEFT_OUT:
                continue
            try:
                if entry.is_dir():
                    below.append(entry.path)
                elif entry.is_file():
                    status = entry.stat()
                    yield Found(entry.path, status.st_size, status.st_mtime_ns)
            except OSError:
                continue
        waiting.extend(reversed(below))
