"""What worker processes have in common: the messages on their pipes, and their start."""

import contextlib
import os
import signal
import struct
import subprocess
import warnings
from typing import IO

from mocosearch import processes

MEMORY_LIMIT = 1_800_000_000
"""Bytes of address space that a worker may add to those it starts with: less than 2 GB in all."""
ALARM = 60
"""Seconds for one file after which a worker ends itself. The parent's limit is shorter, but a
parent that was killed cannot apply it.
"""
TIME_LIMIT = 20.0
"""Seconds for one file; then the parent kills the worker."""
ATTEMPTS = 3
"""Times that a worker may fail to start, or die before it begins with a file."""
READY = b"ready\n"
_LENGTH = struct.Struct("<I")


def spawn(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a module of this program as a worker, with pipes to it."""
    return subprocess.Popen(
        processes.command(module, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=processes.environment(),
        # Ctrl-C reaches only the parent, which then ends its workers.
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker, wait for its end and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        # Closing writes what is still in the buffer, and fails because the worker is dead.
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]


def send(pipe: IO[bytes], data: bytes) -> None:
    """Write one message; the caller flushes. Raises BrokenPipeError if the other end has gone."""
    pipe.write(_LENGTH.pack(len(data)) + data)


def receive(pipe: IO[bytes]) -> bytes:
    """Read one message, which is not empty. Raises EOFError if the other end has gone."""
    length = pipe.read(_LENGTH.size)
    data = pipe.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else b""
    if not data:
        raise EOFError
    return data


def _set_process_options() -> None:
    """Set what holds for the whole process. It is ours alone, unlike a program that imports us."""
    import pillow_heif
    from PIL import AvifImagePlugin, Image

    # Each core has a worker already, and threads take address space.
    pillow_heif.options.DECODE_THREADS = 1
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # decode.MAX_PIXELS is the limit; Pillow's is lower for some formats.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")


def _limit_memory() -> None:
    try:
        import resource

        with open("/proc/self/statm") as file:
            limit = int(file.read().split()[0]) * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):
        return  # The system has no such limit; the time limit still applies.


def set_alarm(seconds: int) -> None:
    """Have the system end this process after that time; 0 cancels. Windows has no alarm."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def start() -> IO[bytes]:
    """Set up this process as a worker, say so, and return the pipe for its results."""
    results = os.fdopen(os.dup(1), "wb")
    # Decoders written in C print messages to descriptors 1 and 2; the result has the reason.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    _set_process_options()
    _limit_memory()
    results.write(READY)
    results.flush()
    return results
