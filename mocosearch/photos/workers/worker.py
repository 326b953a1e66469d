"""A process that reads and decodes one file after another, and may crash on any of them.

Run as `python -m mocosearch.photos.workers.worker SIDE`. It receives paths on stdin and sends
results on stdout until stdin ends. Both ends of what is sent are in this file; the parent process
uses it in `mocosearch.photos.workers.reading`.
"""

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from typing import IO

import numpy as np

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import Picture, decode, digest_of, read
from mocosearch.photos.failures import TOO_LARGE
from mocosearch.photos.metadata.facts import Facts
from mocosearch.photos.workers import protocol

BEGIN = b"begin\n"


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
    protocol.send(pipe, os.fsencode(path))
    pipe.flush()


def receive_begin(pipe: IO[bytes]) -> bool:
    """Wait until a worker begins with a file; False if it died before."""
    return pipe.readline() == BEGIN


def receive_result(pipe: IO[bytes], side: int) -> ReadResult:
    """A worker's result for the file that it began. Raises EOFError if it died over it."""
    header = json.loads(protocol.receive(pipe))
    if "digest" not in header:
        reason = header["reason"]
        return None if reason is None else str(reason)
    pixels = np.frombuffer(protocol.receive(pipe), np.uint8).reshape(side, side, 3)
    return Photo(bytes.fromhex(header["digest"]), Picture(pixels, Facts(**header["facts"])))


def _send_result(pipe: IO[bytes], result: ReadResult) -> None:
    if isinstance(result, Photo):
        facts = vars(result.picture.facts)
        protocol.send(pipe, json.dumps({"digest": result.digest.hex(), "facts": facts}).encode())
        protocol.send(pipe, np.ascontiguousarray(result.picture.pixels).tobytes())
    else:
        protocol.send(pipe, json.dumps({"reason": result}).encode())
    pipe.flush()


def main() -> None:
    """Answer until stdin ends."""
    side = int(sys.argv[1])
    results = protocol.start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            path = os.fsdecode(protocol.receive(sys.stdin.buffer))
            protocol.set_alarm(protocol.ALARM)
            results.write(BEGIN)
            results.flush()
            result = read_photo(path, side)
            protocol.set_alarm(0)
            _send_result(results, result)


if __name__ == "__main__":
    main()
