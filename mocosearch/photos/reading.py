"""Many files read at once, in processes that a bad file may kill or hang."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue

from mocosearch.errors import MocosearchError
from mocosearch.photos import worker
from mocosearch.photos.scan import FileStat
from mocosearch.photos.worker import ReadResult

SECONDS = 20.0
"""Time for one file; then its worker is killed and the file skipped."""
STARTS = 3
"""Times that a process may fail to start before that is an error."""
LOOK = 0.5
"""Seconds between two looks at the clock."""
WAITING = 512
"""Files read before the consumer has taken them: at 160 pixels a side, 40 MB."""


def read_photos(
    files: Sequence[FileStat], side: int, workers: int | None = None
) -> Iterator[tuple[FileStat, ReadResult]]:
    """Each file with its outcome, in the order given.

    A worker that dies or takes longer than SECONDS costs the file it was at and nothing else.
    Close the iterator to stop early; the workers end with it.
    """
    if not files:
        return
    count = min(len(files), workers or os.cpu_count() or 1)
    todo: Iterator[tuple[int, FileStat]] = enumerate(files)
    lock, room = threading.Lock(), threading.Semaphore(WAITING)
    answered: Queue[tuple[int, ReadResult] | BaseException] = Queue()
    ended = threading.Event()
    readers = [_Reader(todo, lock, room, answered, side, ended) for _ in range(count)]
    for reader in readers:
        reader.start()
    threading.Thread(target=_watch, args=(readers, ended), daemon=True).start()
    try:
        early: dict[int, ReadResult] = {}
        for number, found in enumerate(files):
            while number not in early:
                answer = answered.get()
                if isinstance(answer, BaseException):
                    raise answer
                early[answer[0]] = answer[1]
            room.release()
            yield found, early.pop(number)
    finally:
        ended.set()
        # All before any is waited for, since each wakes whichever reader waits for room; `ended`
        # goes before, or one reader might go on and be woken twice, and another never.
        for reader in readers:
            reader.stop()
        for reader in readers:
            reader.close()


def _watch(readers: "list[_Reader]", ended: threading.Event) -> None:
    """Looks at the clock whatever the others do: a consumer may be away for long."""
    before = time.monotonic()
    while not ended.wait(LOOK):
        now = time.monotonic()
        # Where all of this program stood still, as by Ctrl-Z, no worker is to blame.
        stood_still = now - before - LOOK
        before = now
        for reader in readers:
            reader.kill_if_late(stood_still)


class _Reader(threading.Thread):
    """Keeps one worker process busy; a new one takes the place of one that died."""

    def __init__(
        self,
        todo: Iterator[tuple[int, FileStat]],
        lock: threading.Lock,
        room: threading.Semaphore,
        answered: "Queue[tuple[int, ReadResult] | BaseException]",
        side: int,
        ended: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self.todo, self.lock, self.room, self.answered = todo, lock, room, answered
        self.side, self.ended = side, ended
        self.late = False
        self.since: float | None = None
        # Held to change or judge `since`: a file that is done just now is not late.
        self.clock = threading.Lock()
        self.process = self._process()

    def run(self) -> None:
        try:
            self._greet()
            while not self.ended.is_set():
                self.room.acquire()
                if self.ended.is_set():
                    break
                with self.lock:
                    number, found = next(self.todo, (None, None))
                if number is None or found is None:
                    break
                self.answered.put((number, self._outcome(found)))
        except BaseException as error:
            self.answered.put(error)

    def kill_if_late(self, stood_still: float) -> None:
        """`stood_still`: seconds since the last look that do not count."""
        with self.clock:
            if self.since is None:
                return
            self.since += stood_still
            if time.monotonic() - self.since > SECONDS:
                self.since, self.late = None, True
                self.process.kill()

    def _now(self, since: float | None) -> None:
        with self.clock:
            self.since = since

    def stop(self) -> None:
        self.room.release()
        self.process.kill()

    def close(self) -> None:
        self.join()
        self._end()

    def _outcome(self, found: FileStat) -> ReadResult:
        stdin, stdout = self.process.stdin, self.process.stdout
        self._now(time.monotonic())
        try:
            worker.ask(stdin, found.path)  # type: ignore[arg-type]
            return worker.answer_from(stdout, self.side)  # type: ignore[arg-type]
        except (EOFError, OSError, ValueError):
            reason = f"took longer than {SECONDS:.0f} s" if self.late else "crashed the decoder"
            self._now(None)
            self.late = False
            if not self.ended.is_set():
                self._replace()
                self._greet()
            return reason
        finally:
            self._now(None)

    def _process(self) -> subprocess.Popen[bytes]:
        # -P: what lies in the current folder, be it photos of anyone's, is no part of the program.
        command = [sys.executable, "-P", "-m", "mocosearch.photos.worker", str(self.side)]
        above = str(Path(__file__).parents[2])
        paths = os.pathsep.join([above, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            # Ctrl-C is for the parent alone, which then ends its workers.
            start_new_session=True,
        )

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            # What a dead worker never read is still in the buffer, and goes with it.
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _replace(self) -> None:
        self._end()
        self.process = self._process()

    def _greet(self) -> None:
        """Wait until the process is ready; one that dies before has cost no file yet."""
        for _ in range(STARTS):
            assert self.process.stdout
            if self.process.stdout.readline() == worker.READY or self.ended.is_set():
                return
            self._replace()
        raise MocosearchError("a process to read photos did not start", "is memory short?")
