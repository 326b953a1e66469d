"""Folders that are followed: which roots have changed, once the changes have come to rest.

Events only say where to look. What has changed is decided by a scan, as in every sync. So an event
that the system loses costs time and no photo.
"""

import glob
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from indexes.search.snapshot import Snapshot
from indexes.store.disks import network_disk
from indexes.sync.diff import load_disks
from mocosearch.errors import MissingPackage
from mocosearch.photos.scan import is_within


@dataclass(frozen=True)
class Pace:
    """How long to wait, in seconds."""

    quiet: float = 2.0
    """A file is complete when it has not changed for so long."""
    patience: float = 30.0
    """After so long the complete files are indexed, although others are still being written."""
    check: float = 2.0
    """Between two looks at whether a root or a disk has disappeared or come back."""
    poll: float = 60.0
    """Between two scans of a root that the system cannot watch, such as one on a network disk."""
    rescan: float = 3600.0
    """Between two scans of a root that it watches, in case it has lost an event."""


MOST_WRITING = 100
"""Files that are excluded as still being written. Of more, the others are small and complete."""


@dataclass(frozen=True)
class Change:
    """Roots to bring the index up to date with, except for files that are still being written."""

    roots: Sequence[str]
    writing: Sequence[str] = ()

    def patterns(self) -> list[str]:
        """The files that are still being written, as patterns for `Index.sync` to exclude."""
        return [
            glob.escape(os.path.relpath(path, root))
            for path in self.writing[:MOST_WRITING]
            for root in self.roots
            if is_within(path, root) and os.path.isfile(path)
        ]


@dataclass
class Pending:
    """Changes that are not in the index yet: for each path when its first and its last event came.

    Times are those of `time.monotonic`.
    """

    pace: Pace
    last: dict[str, float] = field(default_factory=dict)
    roots: dict[str, float] = field(default_factory=dict)
    """Roots to scan, by the time of the first event."""

    def add(self, root: str, path: str, now: float) -> None:
        """An event below a root, or at it."""
        self.last[path] = now
        self.roots.setdefault(root, now)

    def take(self, now: float) -> Change | None:
        """The roots to scan now; None where it is better to wait."""
        if not self.roots:
            return None
        recent = [path for path, last in self.last.items() if now - last < self.pace.quiet]
        writing = sorted(recent, key=self.last.__getitem__, reverse=True)
        if writing and now - min(self.roots.values()) < self.pace.patience:
            return None
        change = Change(list(self.roots), writing)
        # What is still being written makes its root change again.
        self.last = {path: self.last[path] for path in writing}
        self.roots = {
            root: now for root in self.roots if any(is_within(path, root) for path in writing)
        }
        return change


def places(snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """The roots of an index, and the disks mounted or linked below them."""
    roots = sorted(snapshot.roots.places.values())
    return roots, [disk for disk in load_disks(snapshot.txn) if disk not in roots]


class Follower:
    """Follows the roots of one index.

    load: returns the roots and the disks below them, as `places` does. folder: of the index, whose
    own files are no changes. notice: called with a line where something cannot be watched.
    """

    def __init__(
        self,
        load: Callable[[], tuple[list[str], list[str]]],
        folder: Path,
        stop: Event,
        notice: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        self.load, self.folder, self.stop, self.notice = load, os.path.abspath(folder), stop, notice
        self.pace = pace or Pace()
        self.pending = Pending(self.pace)
        self._unwatchable: set[str] = set()

    def changes(self) -> Iterator[Change]:
        """What to bring up to date, first all roots; ends once `stop` is set.

        Raises MissingPackage without watchfiles.
        """
        watch = _load_watch()
        while not self.stop.is_set():
            yield from self._follow(watch)

    def _follow(self, watch: Any) -> Iterator[Change]:
        """The changes until a root or a disk disappears or comes back."""
        roots, disks = self.load()
        before = _identities([*roots, *disks])
        polled = {root for root in roots if network_disk(root) or root in self._unwatchable}
        watched = [root for root in roots if root not in polled and before[root] is not None]
        try:
            events, first = self._begin(watch, watched)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unwatchable |= set(watched)
            reason = str(error).split(". about ")[0]  # watchfiles adds an object of Rust.
            instead = f"scanning them every {self.pace.poll:.0f} s instead"
            self.notice(f"cannot watch {', '.join(watched)}: {reason}; {instead}")
            return
        # The folders are watched before the first scan, so nothing between the two is lost.
        with closing(events):
            yield Change(roots)
            self._add(first, roots)
            checked = loaded = time.monotonic()
            scans = dict.fromkeys(roots, checked)
            for paths in events:
                self._add(paths, roots)
                now = time.monotonic()
                if now - checked >= self.pace.check:
                    checked = now
                    if _identities([*roots, *disks]) != before:
                        return
                if now - loaded >= self.pace.poll:
                    loaded = now
                    if self.load() != (roots, disks):
                        return
                for root, last in scans.items():
                    if now - last >= (self.pace.poll if root in polled else self.pace.rescan):
                        self.pending.roots.setdefault(root, now)
                change = self.pending.take(now)
                if change is not None:
                    yield change
                    scans |= dict.fromkeys(change.roots, time.monotonic())

    def _begin(self, watch: Any, roots: list[str]) -> tuple[Generator[list[str]], Sequence[str]]:
        """The events of the roots, and the first of them. Raises OSError."""
        try:
            events = self._events(watch, roots, unreadable=False)
            return events, next(events, [])
        except PermissionError:
            # Not from the start: watchfiles then hides the system's limit of watches, too.
            events = self._events(watch, roots, unreadable=True)
            return events, next(events, [])

    def _events(self, watch: Any, roots: list[str], unreadable: bool) -> Generator[list[str]]:
        """The changed paths, at least twice a second. The roots are watched once the first ones
        come. unreadable: whether folders without permission are left out. Raises OSError.
        """
        if not roots:
            yield []
            while not self.stop.wait(_STEP):
                yield []
            return
        yield from (
            [path for _, path in events]
            for events in watch(
                *roots,
                watch_filter=None,
                debounce=round(_STEP * 1000),
                rust_timeout=round(_STEP * 1000),
                yield_on_timeout=True,
                stop_event=self.stop,
                force_polling=False,
                ignore_permission_denied=unreadable,
            )
        )

    def _add(self, paths: Sequence[str], roots: Sequence[str]) -> None:
        now = time.monotonic()
        for path in paths:
            root = next((root for root in roots if is_within(path, root)), None)
            if root is not None and not is_within(path, self.folder):
                self.pending.add(root, path, now)


_STEP = 0.3
"""Seconds between two looks at the events and at `stop`."""


def _load_watch() -> Any:
    try:
        from watchfiles import watch
    except ImportError as error:
        raise MissingPackage(
            "watching folders needs the package watchfiles",
            "pip install 'mocosearch[watch]', or use --once",
        ) from error
    return watch


def _identities(folders: Sequence[str]) -> dict[str, tuple[int, int] | None]:
    """Device and inode of each folder; None for one that is missing. Another disk mounted in its
    place has others.
    """
    identities: dict[str, tuple[int, int] | None] = {}
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError:
            identities[folder] = None
        else:
            identities[folder] = status.st_dev, status.st_ino
    return identities
