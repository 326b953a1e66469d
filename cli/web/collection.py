"""One index, read by a few threads, and followed when other programs change it."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from cli.web.gate import Gate
from indexes import Reader, Where, open_reader
from indexes.timeline import Timeline, folder_counts, timeline
from mocosearch.errors import Damaged, MocosearchError, StorageFailed

THREADS = 4
"""Each has a snapshot of its own, whose opening costs a few milliseconds after each change."""
CACHE = 8
"""Filters whose order of photos is cached; each takes up to 8 bytes per photo."""
PAUSE = 1.0
"""Seconds between two looks for changes, and between two attempts to open an index that failed."""

T = TypeVar("T")


class Collection:
    """The index of the server. `read` runs a function with it in one of the threads.

    An index that is removed, damaged or replaced gives an error to each request, until it can be
    opened again.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = THREADS,
        open: Callable[[Path], Reader] = open_reader,
    ) -> None:
        """Raises NotFound, Damaged, StorageFailed."""
        self.folder, self._open = folder, open
        self._index: Reader | None = open(folder)
        self._gate = Gate()
        self._failure: tuple[float, MocosearchError] | None = None
        self._version = ""
        """No thread reads anything older."""
        self._timelines: dict[tuple[str, Where], Timeline] = {}
        self._skipped: tuple[str, int] = "", 0
        self._folders: tuple[str, dict[str, int]] = "", {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(threads, "reader")

    async def read(self, work: Callable[[Reader], T]) -> T:
        """The result of some work with the index. Raises what the work raises, StorageFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.run, work)

    def run(self, work: Callable[[Reader], T]) -> T:
        """`read` in this thread."""
        try:
            with self._gate.shared():
                return work(self._current())
        except (Damaged, StorageFailed):
            # The file may have been replaced, or have outgrown its map.
            self._reopen()
            with self._gate.shared():
                return work(self._current())

    def _current(self) -> Reader:
        if self._index is None:
            assert self._failure is not None
            raise self._failure[1]
        return self._index

    def _reopen(self) -> None:
        """Open the index anew, unless that has failed just now. Raises as `open_reader` does."""
        with self._gate.alone():
            now = time.monotonic()
            if self._failure is not None and now - self._failure[0] < PAUSE:
                raise self._failure[1]
            if self._index is not None:
                with suppress(Exception):
                    self._index.close()
            self._index = None
            try:
                self._index = self._open(self.folder)
                self._failure = None
            except MocosearchError as error:
                self._failure = now, _lost(self.folder, error)
                raise self._failure[1] from error

    def follow(self) -> str:
        """Show what is committed now to all threads; returns its version, empty if it failed."""
        try:
            with self._gate.shared():
                newest = self._current().newest_version
            if newest != self._version:
                with self._gate.alone():
                    self._current().refresh_all()
                self._version = newest
            return newest
        except Exception:
            with suppress(MocosearchError):
                self._reopen()
            return ""

    def timeline(self, index: Reader, where: Where) -> Timeline:
        """The photos that meet some conditions, newest first; for use inside `run`."""
        key = index.snapshot.version, where
        with self._lock:
            if key not in self._timelines:
                value = timeline(index.snapshot, where)
                if len(self._timelines) >= CACHE:
                    old = [k for k in self._timelines if k[0] != key[0]]
                    del self._timelines[(old or list(self._timelines))[0]]
                self._timelines[key] = value
            return self._timelines[key]

    def skipped(self, index: Reader) -> int:
        """The number of pictures without a key; for use inside `run`."""
        version = index.snapshot.version
        with self._lock:
            if self._skipped[0] != version:
                files = index.skipped_files()
                self._skipped = version, sum(file.reason is not None for file in files)
            return self._skipped[1]

    def folders(self, index: Reader) -> dict[str, int]:
        """The number of files in each folder, without those below it; for use inside `run`."""
        version = index.snapshot.version
        with self._lock:
            if self._folders[0] != version:
                self._folders = version, folder_counts(index.snapshot)
            return self._folders[1]

    def close(self) -> None:
        """End the threads, at the end of the process; nothing waits for work that still runs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        """End the threads and close the index, once no thread uses it."""
        self._threads.shutdown()
        with self._gate.alone():
            if self._index is not None:
                self._index.close()


def _lost(folder: Path, error: MocosearchError) -> MocosearchError:
    if folder.exists():
        return error
    return StorageFailed(
        f"the index at {folder} has disappeared", "put it back; the server then goes on"
    )
