"""Copies: groups found by `mocosearch duplicates`, in a process of its own.

For a large collection that takes minutes and much memory, which must not slow the server down.
"""

import asyncio
import json
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cli.web.background.children import error_of, start
from mocosearch.errors import Busy, MocosearchError

THRESHOLDS = 4
"""Results that are kept, for different thresholds."""


@dataclass
class Result:
    """The groups for one threshold, as of `mocosearch duplicates --json`.

    version: of the index that they were found in. task: computes them anew.
    """

    version: str = ""
    groups: list[dict[str, Any]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    error: MocosearchError | None = None

    @property
    def computing(self) -> bool:
        """Whether newer groups are being computed."""
        return self.task is not None and not self.task.done()


class Copies:
    """The groups of copies of the index in a folder, by threshold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results: dict[float, Result] = {}
        self._computing = ThreadPoolExecutor(1, "copies")
        self._ignoring = ThreadPoolExecutor(1, "no-copies")
        self._processes: set[subprocess.Popen[str]] = set()
        self._closed = threading.Event()

    def result(self, threshold: float, version: str) -> Result:
        """The groups; where they are not of this version, they are computed in the background.
        Raises the error of the last computation.
        """
        result = self._results.get(threshold)
        if result is None:
            if len(self._results) >= THRESHOLDS:
                self._drop_oldest()
            result = self._results[threshold] = Result()
        if result.error is not None:
            error, result.error = result.error, None
            raise error
        if result.version != version and not result.computing:
            result.task = asyncio.create_task(self._compute(result, threshold, version))
        return result

    def _drop_oldest(self) -> None:
        idle = [key for key, result in self._results.items() if not result.computing]
        if not idle:
            raise Busy("copies are searched with other thresholds", "wait until that is done")
        del self._results[idle[0]]

    async def _compute(self, result: Result, threshold: float, version: str) -> None:
        words = ("duplicates", "--index", str(self.folder), "--threshold", str(threshold), "--json")
        try:
            text = await self._in_thread(self._computing, "cli", *words)
            result.groups, result.version = json.loads(text)["groups"], version
        except MocosearchError as error:
            result.error = error

    async def ignore(self, ids: Sequence[int], paths: Sequence[str]) -> None:
        """Remember that some photos are not copies of each other. Raises Busy, StorageFailed."""
        words = (str(self.folder), *map(str, ids))
        await self._in_thread(self._ignoring, "cli.web.background.ignoring", *words)
        files = set(paths)
        for result in self._results.values():
            result.groups = [one for one in result.groups if not files.issuperset(one["paths"])]

    def moved(self, before: str, after: str) -> None:
        """Groups of one version are those of another too."""
        for result in self._results.values():
            if result.version == before:
                result.version = after

    async def _in_thread(self, threads: ThreadPoolExecutor, *words: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, partial(self._run, *words))

    def _run(self, module: str, *words: str) -> str:
        """What a module of this program prints. Raises MocosearchError with its message."""
        process = start(module, *words)
        self._processes.add(process)
        if self._closed.is_set():
            process.kill()
        out, errors = process.communicate()
        self._processes.discard(process)
        # 3: files were skipped.
        if process.returncode not in (0, 3):
            raise error_of(errors, process.returncode, "copies cannot be searched")
        return out

    def close(self) -> None:
        """End the processes."""
        self._closed.set()
        for process in list(self._processes):
            process.kill()
        for threads in (self._computing, self._ignoring):
            threads.shutdown(wait=False, cancel_futures=True)
