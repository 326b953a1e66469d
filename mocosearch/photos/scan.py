"""Walk folders and list what might be a photo, without opening a single file."""

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mocosearch.errors import NotFound

LEFT_OUT = frozenset(
    {"@eadir", "$recycle.bin", "system volume information", "lost+found", "#recycle"}
)
"""Folders of the system's own in small letters, left out beside every hidden one."""
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_LATEST = 2**63 - 1
"""In nanoseconds, the year 2262; some file systems go on to 2446."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """A regular file: `size` in bytes, `mtime` in nanoseconds since 1970."""

    path: str
    size: int
    mtime: int
    changed: int = 0
    """When its content or its facts were last changed, as the system keeps it, which programs
    cannot set back as they can the mtime; 0 where it is not known.
    """

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> "FileStat":
        """As the system tells of it. Windows keeps the time of creation in that place."""
        changed = 0 if os.name == "nt" else status.st_ctime_ns
        mtime, changed = (_within_64_bits(time) for time in (status.st_mtime_ns, changed))
        return cls(path, status.st_size, mtime, changed)


def _within_64_bits(time: int) -> int:
    return max(-_LATEST, min(time, _LATEST))


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


def is_within(path: str, root: str) -> bool:
    r"""Whether `path` is `root` or lies below it; both absolute.

    Where the system takes `C:\Photos` and `c:/photos` for one, so does this.
    """
    path, root = os.path.normcase(path), os.path.normcase(root)
    return path == root or path.startswith(os.path.join(root, ""))


def unicode_forms(path: str) -> list[str]:
    """A path as it is, then with accents composed (NFC), then apart from their letters (NFD).

    A Mac takes all of these for one name, and may list another than was typed.
    """
    forms = [path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)]
    return list(dict.fromkeys(forms))


def with_slashes(path: str) -> str:
    """With `/` between its parts, whatever the system puts there."""
    return path.replace(os.sep, "/")


@dataclass
class ScanReport:
    """What a scan met and passed over, and what may not be there at the next: paths."""

    hidden: list[str] = field(default_factory=list)
    """Hidden or the system's own."""
    excluded: list[str] = field(default_factory=list)
    """By the patterns that were given."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that may not be read, and single files of which the system tells nothing."""
    disks: list[str] = field(default_factory=list)
    """Folders on another disk than the one above them, walked through all the same."""


def scan(
    roots: Sequence[str], exclude: Sequence[str] = (), scan_report: ScanReport | None = None
) -> Iterator[FileStat]:
    """Every regular file below the roots, in a stable order, each real file once.

    Links to folders are followed and loops end, because a folder is known by its device and
    inode; a link to a file that a root holds anyway is passed over. So are hidden files and
    folders, `LEFT_OUT` and what matches a pattern of `exclude` (as in a shell) by its name or
    by its path below the root; `scan_report` is filled with them. The Mac's `._` files are
    yielded, for they come with photos. Nothing is ever opened.
    """
    walk = _Walk(roots, exclude, scan_report or ScanReport())
    for root in roots:
        try:
            status = os.stat(root)
        except OSError:
            walk.scan_report.unreadable.append(root)
            continue
        if stat.S_ISREG(status.st_mode):
            yield FileStat.of(root, status)
        elif stat.S_ISDIR(status.st_mode):
            yield from walk.below(root)


class _Walk:
    """One scan: what it has seen so far."""

    def __init__(
        self, roots: Sequence[str], exclude: Sequence[str], scan_report: ScanReport
    ) -> None:
        self.roots = [os.path.realpath(root) for root in roots]
        self.exclude, self.scan_report = exclude, scan_report
        self.folders: set[tuple[int, int]] = set()
        self.linked: set[tuple[int, int]] = set()

    def below(self, root: str) -> Iterator[FileStat]:
        waiting: list[tuple[str, int | None]] = [(root, None)]
        while waiting:
            folder, above = waiting.pop()
            try:
                here = os.stat(folder)
                if (here.st_dev, here.st_ino) in self.folders:
                    continue
                self.folders.add((here.st_dev, here.st_ino))
                # Names alone: entries that remember their status weigh ten times as much.
                names = sorted(os.listdir(folder))
            except OSError:
                self.scan_report.unreadable.append(folder)
                continue
            if above not in (None, here.st_dev):
                self.scan_report.disks.append(folder)
            inner = []
            for name in names:
                path = os.path.join(folder, name)
                if self._passed_over(name, path, root):
                    continue
                status = self._told(os.lstat, path, locked=folder)
                is_link = status is not None and stat.S_ISLNK(status.st_mode)
                if is_link:
                    status = self._told(os.stat, path, locked=path)
                if status is None:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    inner.append(path)
                elif stat.S_ISREG(status.st_mode) and not (
                    is_link and self._reached_anyway(path, status)
                ):
                    yield FileStat.of(path, status)
            waiting.extend((path, here.st_dev) for path in reversed(inner))

    def _told(
        self, look: Callable[[str], os.stat_result], path: str, locked: str
    ) -> os.stat_result | None:
        """What the system tells of a path; None where nothing is there, or nothing is told.

        Then the path is noted as unreadable, or `locked` where that is what bars the way: once,
        for a folder whose names alone may be read bars the way to each of them.
        """
        try:
            return look(path)
        except OSError as error:
            untold = locked if isinstance(error, PermissionError) else path
            if error.errno not in _NOTHING_THERE and self.scan_report.unreadable[-1:] != [untold]:
                self.scan_report.unreadable.append(untold)
            return None

    def _passed_over(self, name: str, path: str, root: str) -> bool:
        if _is_hidden(name):
            self.scan_report.hidden.append(path)
        elif self._is_excluded(name, path, root):
            self.scan_report.excluded.append(path)
        else:
            return False
        return True

    def _is_excluded(self, name: str, path: str, root: str) -> bool:
        if not self.exclude:
            return False
        names = (name, with_slashes(os.path.relpath(path, root)))
        patterns = [with_slashes(pattern).rstrip("/") for pattern in self.exclude]
        return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)

    def _reached_anyway(self, link: str, status: os.stat_result) -> bool:
        """Whether a link's file stands below a root under its own name, or had a link before."""
        real = os.path.realpath(link)
        if any(is_within(real, root) and self._is_walked(real, root) for root in self.roots):
            return True
        before = (status.st_dev, status.st_ino) in self.linked
        self.linked.add((status.st_dev, status.st_ino))
        return before

    def _is_walked(self, path: str, root: str) -> bool:
        """Whether neither a path nor a folder above it, below the root, is passed over."""
        while len(path) > len(root):
            name = os.path.basename(path)
            if _is_hidden(name) or self._is_excluded(name, path, root):
                return False
            path = os.path.dirname(path)
        return True


def _is_hidden(name: str) -> bool:
    return name.lower() in LEFT_OUT or (name.startswith(".") and not name.startswith("._"))
