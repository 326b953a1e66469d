"""The map of the server's index: its grid, its tiles, and the process that computes it."""

import asyncio
import subprocess
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cli.web.background.children import error_of, start
from indexes import Reader, Where
from indexes.maps.grid import Grid
from indexes.maps.storage import load
from mocosearch.errors import MocosearchError
from mocosearch.requirements import is_installed

TILE_BYTES = 48_000_000
"""Of the tiles that are kept in memory."""
THREADS = 2
"""Of their own: tiles wait for many thumbnails, and nothing else shall wait for tiles."""


def has_maps() -> bool:
    """Whether the packages of the extra `map` are installed."""
    return is_installed("openTSNE")


class Maps:
    """The map of the index in a folder; computed from the first request for it on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.grid: Grid | None = None
        self.version = ""
        """Of the map, and of the addresses of its tiles."""
        self.progress = 0.0
        self.threads = ThreadPoolExecutor(THREADS, "tiles")
        self._tiles: OrderedDict[tuple[str, int, int, int, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._current = ""
        """The version of the index that the map was last compared with."""
        self._task: asyncio.Task[None] | None = None
        self._error: MocosearchError | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    @property
    def computing(self) -> bool:
        """Whether a newer map is being computed."""
        return self._task is not None and not self._task.done()

    def refresh(self, index: Reader) -> bool:
        """Load the stored map, unless that of this version of the index is there already. Returns
        whether a newer one is to be computed, and is not being computed yet.
        """
        with self._lock:
            if self._current == index.snapshot.version or self.computing:
                return False
            newest = load(index.folder, index.encoder.card.fingerprint)
            if newest is None:
                self.grid, self.version = None, ""
                return True
            if newest.version != self.version:
                self.grid, self.version = newest.grid(), newest.version
            if np.array_equal(np.sort(newest.ids), index.among(Where())):
                self._current = index.snapshot.version
            return self._current != index.snapshot.version

    def update(self) -> None:
        """Compute the map in the background. Raises the error of the last attempt."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if not self.computing:
            self.progress = 0.0
            self._task = asyncio.create_task(self._compute())

    async def _compute(self) -> None:
        try:
            await asyncio.to_thread(self._run)
        except MocosearchError as error:
            self._error = error

    def _run(self) -> None:
        """Run the process. Raises MocosearchError with its message."""
        process = self._process = start("cli.web.background.mapping", str(self.folder))
        if self._closed:
            process.kill()
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr:
            for line in process.stdout:
                self.progress = float(line)
            errors = process.stderr.read()
        if process.wait() != 0:
            raise error_of(errors, process.returncode, "the map cannot be computed")

    def tile(self, key: tuple[str, int, int, int, int]) -> bytes | None:
        """A tile that was rendered before."""
        with self._lock:
            data = self._tiles.get(key)
            if data is not None:
                self._tiles.move_to_end(key)
            return data

    def keep(self, key: tuple[str, int, int, int, int], data: bytes) -> None:
        """Keep a tile; the least used ones go."""
        with self._lock:
            self._size += len(data) - len(self._tiles.pop(key, b""))
            self._tiles[key] = data
            while self._size > TILE_BYTES:
                self._size -= len(self._tiles.popitem(last=False)[1])

    def close(self) -> None:
        """End the process and the threads."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        self.threads.shutdown(wait=False, cancel_futures=True)
