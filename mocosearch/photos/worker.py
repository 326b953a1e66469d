"""A process that reads and decodes one file after another, and may die of any of them.

Run as `python -m mocosearch.photos.worker SIDE`: a path in, an answer out, until the input
ends. Its parent is `mocosearch.photos.reading`; both ends of the wire are in this file.
"""

import contextlib
import json
import os
import signal
import struct
import sys
from dataclasses import asdict, dataclass
from typing import BinaryIO

import numpy as np

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import Picture, decode, digest_of, read
from mocosearch.photos.facts import Facts

MEMORY = 1_800_000_000
"""Bytes of address space that a worker may add to what it starts with: under 2 GB together."""
ALONE = 60
"""Seconds for one file after which a worker ends itself: a parent that was killed, and cannot do
it any more, would have long before.
"""
READY = b"ready\n"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture read: `digest` of the file's bytes, and the pixels."""

    digest: bytes
    picture: Picture


ReadResult = Photo | str | None
"""A picture, the reason why there is none, or None for a file that is no picture at all."""


def read_photo(path: str, side: int) -> ReadResult:
    """Read and decode one file, in this process.

    A pipe, socket or device is never opened, and a file of the Mac's `._` kind neither: it
    holds what another file system could not keep, whatever its name ends in.
    """
    try:
        if os.path.basename(path).startswith("._") or not _regular(path):
            return None
        data = read(path)
        return None if data is None else Photo(digest_of(data), decode(data, side))
    except Unreadable as error:
        return error.what
    except MemoryError:
        return "too large for the memory"


def _regular(path: str) -> bool:
    """Whether it is a file, or nothing at all, which `read` then says."""
    return os.path.isfile(path) or not os.path.exists(path)


def ask(pipe: BinaryIO, path: str) -> None:
    """The parent's half of a question."""
    _put(pipe, os.fsencode(path))
    pipe.flush()


def answer_from(pipe: BinaryIO, side: int) -> ReadResult:
    """The parent's half of an answer. Raises EOFError where the worker has died."""
    told = json.loads(_take(pipe))
    if "digest" not in told:
        reason = told["reason"]
        return None if reason is None else str(reason)
    pixels = np.frombuffer(_take(pipe), np.uint8).reshape(side, side, 3)
    return Photo(bytes.fromhex(told["digest"]), Picture(pixels, Facts(**told["facts"])))


def _answer(pipe: BinaryIO, outcome: ReadResult) -> None:
    if isinstance(outcome, Photo):
        facts = asdict(outcome.picture.facts)
        _put(pipe, json.dumps({"digest": outcome.digest.hex(), "facts": facts}).encode())
        _put(pipe, np.ascontiguousarray(outcome.picture.pixels).tobytes())
    else:
        _put(pipe, json.dumps({"reason": outcome}).encode())
    pipe.flush()


def _put(pipe: BinaryIO, data: bytes) -> None:
    pipe.write(_LENGTH.pack(len(data)) + data)


def _take(pipe: BinaryIO) -> bytes:
    length = pipe.read(_LENGTH.size)
    data = pipe.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else b""
    if not data:
        raise EOFError
    return data


def _limit_memory() -> None:
    try:
        import resource

        with open("/proc/self/statm") as file:
            limit = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):
        return  # Not a system that can do this: the time limit still holds.


def _end_after(seconds: int) -> None:
    """Have the system end this process, whatever it is at then; 0 for never. Not on Windows."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def main() -> None:
    """A worker's life."""
    side = int(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    # Decoders written in C print to descriptors 1 and 2 about files that we report ourselves.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    _limit_memory()
    answers.write(READY)
    answers.flush()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            path = os.fsdecode(_take(sys.stdin.buffer))
            _end_after(ALONE)
            outcome = read_photo(path, side)
            _end_after(0)
            _answer(answers, outcome)


if __name__ == "__main__":
    main()
