"""A process that reads and decodes one file after another, and may crash on any of them.

Run as `python -m mocosearch.photos.worker SIDE`. It receives paths on stdin and sends results on
stdout until stdin ends. Both ends of this protocol are in this file; the parent process uses it
in `mocosearch.photos.reading`.
"""

import contextlib
import json
import os
import signal
import struct
import sys
import warnings
from dataclasses import asdict, dataclass
from typing import IO

import numpy as np

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import Picture, decode, digest_of, read
from mocosearch.photos.failures import TOO_LARGE
from mocosearch.photos.metadata.facts import Facts

MEMORY_LIMIT = 1_800_000_000
"""Bytes of address space that a worker may add to those it starts with: less than 2 GB in all."""
ALARM = 60
"""Seconds for one file after which a worker ends itself. The parent's limit is shorter, but a
parent that was killed cannot apply it.
"""
READY = b"ready\n"
BEGIN = b"begin\n"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that was read: `digest` of the file's bytes, 16 bytes, and the picture."""

    digest: bytes
    picture: Picture


ReadResult = Photo | str | None
"""A photo, the reason why the file is skipped, or None for a file that is not a picture."""


def read_photo(path: str, side: int) -> ReadResult:
    """Read and decode one file in this process.

    Pipes, sockets and devices are not opened. Nor are files named `._*`: macOS stores there what
    another file system cannot, whatever the extension.
    """
    try:
        if os.path.basename(path).startswith("._") or not _is_regular_or_missing(path):
            return None
        data = read(path)
        return None if data is None else Photo(digest_of(data), decode(data, side))
    except Unreadable as error:
        return error.what
    except MemoryError:
        return TOO_LARGE


def _is_regular_or_missing(path: str) -> bool:
    """A missing file counts too: `read` gives the reason."""
    return os.path.isfile(path) or not os.path.exists(path)


def send_path(pipe: IO[bytes], path: str) -> None:
    """Ask a worker for a file. Raises BrokenPipeError if it has died."""
    send(pipe, os.fsencode(path))
    pipe.flush()


def receive_begin(pipe: IO[bytes]) -> bool:
    """Wait until a worker begins with a file; False if it died before."""
    return pipe.readline() == BEGIN


def receive_result(pipe: IO[bytes], side: int) -> ReadResult:
    """A worker's result for the file that it began. Raises EOFError if it died over it."""
    header = json.loads(receive(pipe))
    if "digest" not in header:
        reason = header["reason"]
        return None if reason is None else str(reason)
    pixels = np.frombuffer(receive(pipe), np.uint8).reshape(side, side, 3)
    return Photo(bytes.fromhex(header["digest"]), Picture(pixels, Facts(**header["facts"])))


def _send_result(pipe: IO[bytes], result: ReadResult) -> None:
    if isinstance(result, Photo):
        facts = asdict(result.picture.facts)
        send(pipe, json.dumps({"digest": result.digest.hex(), "facts": facts}).encode())
        send(pipe, np.ascontiguousarray(result.picture.pixels).tobytes())
    else:
        send(pipe, json.dumps({"reason": result}).encode())
    pipe.flush()


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


def main() -> None:
    """Answer until stdin ends."""
    side = int(sys.argv[1])
    results = start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            path = os.fsdecode(receive(sys.stdin.buffer))
            set_alarm(ALARM)
            results.write(BEGIN)
            results.flush()
            result = read_photo(path, side)
            set_alarm(0)
            _send_result(results, result)


if __name__ == "__main__":
    main()
