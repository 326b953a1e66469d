"""Read many files at once, in processes that a bad file may crash or block."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import Queue

from mocosearch.errors import MocosearchError
from mocosearch.photos.failures import CRASHED, CRASHES, LATE
from mocosearch.photos.scan import FileStat
from mocosearch.photos.workers import protocol, worker
from mocosearch.photos.workers.protocol import ATTEMPTS, TIME_LIMIT
from mocosearch.photos.workers.worker import ReadResult

CHECK_INTERVAL = 0.5
"""Seconds between two checks of the time limit."""
READ_AHEAD = 512
"""Results that may wait for the consumer: 40 MB at 160 pixels a side."""
_FAULTS = {
    one.value
    for one in signal.Signals
    if one.name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
}
"""Signals that a process causes itself."""


def read_photos(
    files: Sequence[FileStat], side: int, workers: int | None = None
) -> Iterator[tuple[FileStat, ReadResult]]:
    """Read and decode files in worker processes; yields each file with its result, in order.

    side: of the square pictures, in pixels. workers: how many; one per core by default. A file
    that crashes two workers, or takes longer than TIME_LIMIT, is skipped; no other file is. Close
    the iterator to stop early; that ends the workers. Raises MocosearchError if workers do not
    start.
    """
    if not files:
        return
    count = min(len(files), workers or os.cpu_count() or 1)
    queue = _FileQueue(files)
    readers = [_Reader(queue, side) for _ in range(count)]
    for reader in readers:
        reader.start()
    threading.Thread(target=_enforce_time_limit, args=(readers, queue.stop), daemon=True).start()
    try:
        pending: dict[int, ReadResult] = {}
        for number, stat in enumerate(files):
            while number not in pending:
                answer = queue.results.get()
                if isinstance(answer, BaseException):
                    raise answer
                pending[answer[0]] = answer[1]
            queue.slots.release()
            yield stat, pending.pop(number)
    finally:
        queue.stop.set()
        # `stop` is set first: else a reader might read on and use the slot that is released for
        # another, which would then wait for ever.
        for reader in readers:
            reader.interrupt()
        for reader in readers:
            reader.close()


def _enforce_time_limit(readers: "list[_Reader]", stop: threading.Event) -> None:
    """Kill workers whose file takes too long. This has a thread of its own, because the consumer
    may be busy for a long time.
    """
    before = time.monotonic()
    while not stop.wait(CHECK_INTERVAL):
        now = time.monotonic()
        # If this program was suspended, as by Ctrl-Z, that time does not count.
        pause = now - before - CHECK_INTERVAL
        before = now
        for reader in readers:
            reader.kill_if_late(pause)


class _FileQueue:
    """What the readers of one call share: files to read, results, and a slot per result that may
    wait.
    """

    def __init__(self, files: Sequence[FileStat]) -> None:
        self.slots = threading.Semaphore(READ_AHEAD)
        self.results: Queue[tuple[int, ReadResult] | BaseException] = Queue()
        self.stop = threading.Event()
        self._files = enumerate(files)
        self._lock = threading.Lock()

    def next(self) -> tuple[int, FileStat] | None:
        """The next file with its number, when there is a slot; None at the end."""
        self.slots.acquire()
        if self.stop.is_set():
            return None
        with self._lock:
            return next(self._files, None)


@dataclass
class _Answer:
    """What a worker sent for one file."""

    began: bool = False
    complete: bool = False
    result: ReadResult = None


class _Reader(threading.Thread):
    """Keeps one worker process busy, and replaces it when it dies."""

    def __init__(self, queue: _FileQueue, side: int) -> None:
        super().__init__(daemon=True)
        self.queue, self.side = queue, side
        self.late = False
        self.start_time: float | None = None
        # Held to change `late` and `start_time`, so that a file that is just finished is not late.
        self.timer = threading.Lock()
        self.process = self._new_process()

    def run(self) -> None:
        try:
            self._wait_until_ready()
            while not self.queue.stop.is_set() and (file := self.queue.next()):
                number, stat = file
                self.queue.results.put((number, self._read(stat.path)))
        except BaseException as error:
            self.queue.results.put(error)

    def kill_if_late(self, pause: float) -> None:
        """Kill the worker if its file takes too long, not counting `pause` seconds."""
        with self.timer:
            if self.start_time is None:
                return
            self.start_time += pause
            if time.monotonic() - self.start_time > TIME_LIMIT:
                self.start_time, self.late = None, True
                self.process.kill()

    def interrupt(self) -> None:
        """Let the thread end soon."""
        self.queue.slots.release()
        self.process.kill()

    def close(self) -> None:
        """Wait for the thread and the process to end."""
        self.join()
        protocol.end(self.process)

    def _read(self, path: str) -> ReadResult:
        crashes = 0
        for _ in range(ATTEMPTS):
            answer = self._ask(path)
            late = self._stop_timer()
            process = self.process
            # A worker that is killed just after it has answered must not cost the next file.
            if (late or not answer.complete) and not self.queue.stop.is_set():
                self._replace_process()
            if answer.complete:
                return answer.result
            if late:
                return f"{LATE} {TIME_LIMIT:.0f} s"
            if self.queue.stop.is_set():
                return CRASHED
            # If the worker died before it began with the file, the file is not the cause.
            if answer.began:
                if not _is_crash(process.returncode):
                    return CRASHED
                if crashes:
                    return CRASHES
                crashes += 1
        raise _start_error()

    def _ask(self, path: str) -> _Answer:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        answer = _Answer()
        with self.timer:
            self.start_time = time.monotonic()
        # If the worker dies, the answer stays incomplete.
        with contextlib.suppress(EOFError, OSError, ValueError):
            worker.send_path(stdin, path)
            answer.began = worker.receive_begin(stdout)
            if answer.began:
                answer.result = worker.receive_result(stdout, self.side)
                answer.complete = True
        return answer

    def _stop_timer(self) -> bool:
        """Returns whether the worker was killed for the time that it took."""
        with self.timer:
            late, self.late, self.start_time = self.late, False, None
        return late

    def _new_process(self) -> subprocess.Popen[bytes]:
        return protocol.spawn("mocosearch.photos.workers.worker", str(self.side))

    def _replace_process(self) -> None:
        protocol.end(self.process)
        self.process = self._new_process()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        """Wait for the worker's first message. One that dies before has not begun any file."""
        for _ in range(ATTEMPTS):
            assert self.process.stdout
            if self.process.stdout.readline() == protocol.READY or self.queue.stop.is_set():
                return
            protocol.end(self.process)
            self.process = self._new_process()
        raise _start_error()


def _is_crash(code: int) -> bool:
    """Whether a process with this exit code ended by itself, and was not killed."""
    return code >= 0 or -code in _FAULTS


def _start_error() -> MocosearchError:
    return MocosearchError(
        "a process that reads photos did not start", "check whether there is enough free memory"
    )
