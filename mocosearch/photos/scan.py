"""Walk folders and list the files that may be photos, without opening any."""

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

from mocosearch.errors import NotFound

SYSTEM_FOLDERS = frozenset(
    {"@eadir", "$recycle.bin", "system volume information", "lost+found", "#recycle"}
)
"""Names of the system's own folders, in lower case. They are skipped, as hidden folders are."""
_NO_FILE_ERRORS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_MAX_TIME = 2**63 - 1
"""In nanoseconds: the year 2262. Some file systems have times up to 2446."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """A regular file: `size` in bytes, `mtime` in nanoseconds since 1970."""

    path: str
    size: int
    mtime: int
    changed: int = 0
    """The system's time of the last change to content or metadata (ctime), in nanoseconds, which
    programs cannot set back as they can the mtime; 0 if unknown.
    """

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> "FileStat":
        """From the system's data. On Windows, st_ctime is the time of creation and is not used."""
        changed = 0 if os.name == "nt" else status.st_ctime_ns
        mtime, changed = (_in_64_bits(time) for time in (status.st_mtime_ns, changed))
        return cls(path, status.st_size, mtime, changed)


def _in_64_bits(time: int) -> int:
    return max(-_MAX_TIME, min(time, _MAX_TIME))


def roots_of(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Absolute paths of the given folders or files, each once, none inside another.

    Raises NotFound for a path that does not exist.
    """
    paths: dict[str, None] = {}
    for folder in folders:
        path = os.path.abspath(os.path.expanduser(os.fspath(folder)))
        if not os.path.exists(path):
            raise NotFound(f"no such folder: {path}", "check the spelling, or mount the disk")
        paths[path] = None
    return [path for path in paths if not any(parent in paths for parent in _parents(path))]


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def is_within(path: str, root: str) -> bool:
    r"""Whether `path` is `root` or lies below it; both absolute.

    On a system where `C:\Photos` and `c:/photos` are the same folder, they are here too.
    """
    path, root = os.path.normcase(path), os.path.normcase(root)
    return path == root or path.startswith(os.path.join(root, ""))


class Folders:
    """Some absolute paths. Whether one of them is around another path takes time by the depth of
    that path, not by their number.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = {os.path.normcase(path) for path in paths}

    def contain(self, path: str) -> bool:
        """Whether an absolute path is one of them or lies below one: see `is_within`."""
        return any(place in self._paths for place in upwards(path))


def upwards(path: str) -> Iterator[str]:
    """A path and the folders around it, from the inside out, as `is_within` compares them."""
    path = os.path.normcase(path)
    yield path
    yield from _parents(path)


def unicode_forms(path: str) -> list[str]:
    """The path itself, with composed accents (NFC) and with separate accents (NFD); each once.

    macOS treats them as the same name, and may list a form that the user did not type.
    """
    forms = [path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)]
    return list(dict.fromkeys(forms))


def with_slashes(path: str) -> str:
    """The path with `/` in place of the system's separator."""
    return path.replace(os.sep, "/")


@dataclass
class ScanReport:
    """Paths that a scan skipped, and paths that the next scan may not reach."""

    hidden: list[str] = field(default_factory=list)
    """Hidden files and folders, and the system's own."""
    excluded: list[str] = field(default_factory=list)
    """Files and folders that match an exclude pattern."""
    unreadable: list[str] = field(default_factory=list)
    """Folders without permission to read, and files that the system reports an error for."""
    disks: list[str] = field(default_factory=list)
    """Folders on another disk than their parent; these are scanned."""


def scan(
    roots: Sequence[str], exclude: Sequence[str] = (), scan_report: ScanReport | None = None
) -> Iterator[FileStat]:
    """Every regular file below the roots, in a stable order, each real file once. Opens no file.

    Links to folders are followed. Each folder is scanned once, identified by device and inode, so
    that loops end. A link to a file is skipped if the file itself is below a root. Hidden files and
    folders are skipped, and SYSTEM_FOLDERS, and what matches a shell pattern of `exclude` by its
    name or by its path below the root. `scan_report` is filled with the paths of these. The files
    named `._*` that macOS adds to photos are not skipped.
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
            yield from walk.files_below(root)


class _Walk:
    """The state of one scan."""

    def __init__(
        self, roots: Sequence[str], exclude: Sequence[str], scan_report: ScanReport
    ) -> None:
        self.given_roots = roots
        self.exclude, self.scan_report = exclude, scan_report
        self.visited_folders: set[tuple[int, int]] = set()
        self.link_targets: set[tuple[int, int]] = set()

    @cached_property
    def roots(self) -> list[str]:
        """Without links; only a link to a file needs them, and thousands of files may be roots."""
        return [os.path.realpath(root) for root in self.given_roots]

    def files_below(self, root: str) -> Iterator[FileStat]:
        stack: list[tuple[str, int | None]] = [(root, None)]
        while stack:
            folder, parent_device = stack.pop()
            try:
                here = os.stat(folder)
                if (here.st_dev, here.st_ino) in self.visited_folders:
                    continue
                self.visited_folders.add((here.st_dev, here.st_ino))
                # Not os.scandir: its entries take ten times the memory of their names.
                names = sorted(os.listdir(folder))
            except OSError:
                self.scan_report.unreadable.append(folder)
                continue
            if parent_device not in (None, here.st_dev):
                self.scan_report.disks.append(folder)
            subfolders = []
            for name in names:
                path = os.path.join(folder, name)
                if self._skip(name, path, root):
                    continue
                status = self._status(os.lstat, path, blocker=folder)
                is_link = status is not None and stat.S_ISLNK(status.st_mode)
                if is_link:
                    status = self._status(os.stat, path, blocker=path)
                if status is None:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    subfolders.append(path)
                elif stat.S_ISREG(status.st_mode) and not (
                    is_link and self._is_scanned_elsewhere(path, status)
                ):
                    yield FileStat.of(path, status)
            stack.extend((path, here.st_dev) for path in reversed(subfolders))

    def _status(
        self, stat_call: Callable[[str], os.stat_result], path: str, blocker: str
    ) -> os.stat_result | None:
        """The system's data of a path; None if it does not exist, or on an error.

        On an error, the path is reported as unreadable. If permission is missing, `blocker` is
        reported instead, once: a folder that only its names can be read of blocks all its files.
        """
        try:
            return stat_call(path)
        except OSError as error:
            culprit = blocker if isinstance(error, PermissionError) else path
            unreadable = self.scan_report.unreadable
            if error.errno not in _NO_FILE_ERRORS and unreadable[-1:] != [culprit]:
                unreadable.append(culprit)
            return None

    def _skip(self, name: str, path: str, root: str) -> bool:
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

    def _is_scanned_elsewhere(self, link: str, status: os.stat_result) -> bool:
        """Whether the file of a link is below a root under its own name, or had a link before."""
        real = os.path.realpath(link)
        if any(is_within(real, root) and self._is_scanned(real, root) for root in self.roots):
            return True
        is_repeated = (status.st_dev, status.st_ino) in self.link_targets
        self.link_targets.add((status.st_dev, status.st_ino))
        return is_repeated

    def _is_scanned(self, path: str, root: str) -> bool:
        """Whether neither the path nor a folder between it and the root is skipped."""
        while len(path) > len(root):
            name = os.path.basename(path)
            if _is_hidden(name) or self._is_excluded(name, path, root):
                return False
            path = os.path.dirname(path)
        return True


def _is_hidden(name: str) -> bool:
    return name.lower() in SYSTEM_FOLDERS or (name.startswith(".") and not name.startswith("._"))
