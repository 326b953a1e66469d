"""Decode one picture at a time in processes that a bad file may crash or block.

Run as `python -m mocosearch.photos.workers.decoders`. A request is a JSON object, then the bytes of
the file unless the object names a path. An answer is a JSON object, then as many messages as it
says. Both ends of this protocol are in this file.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from queue import LifoQueue
from typing import Any

import numpy as np

from mocosearch.errors import MocosearchError, Unreadable, Unsuitable
from mocosearch.photos.decode import MAX_PIXELS, decode_image, digest_of, read
from mocosearch.photos.failures import CRASHES, LATE, TOO_LARGE
from mocosearch.photos.formats import format_of
from mocosearch.photos.plugins import open_image
from mocosearch.photos.squares import Crop, Squares, squares
from mocosearch.photos.workers import protocol
from mocosearch.photos.workers.protocol import ATTEMPTS, TIME_LIMIT

QUALITY = 82
"""Of JPEG files, 1..95."""

Source = str | bytes
"""The path of a file, or its bytes."""


@dataclass(frozen=True)
class Limits:
    """What is decoded at most: bytes of a file, and pixels according to its header."""

    bytes: int
    pixels: int


class Decoders:
    """Worker processes for any number of threads, each started when it is first needed."""

    def __init__(self, count: int) -> None:
        self._idle: LifoQueue[_Worker] = LifoQueue()
        self._workers = [_Worker() for _ in range(count)]
        for one in self._workers:
            self._idle.put(one)

    def start(self) -> None:
        """Start the processes, which takes a third of a second. Raises MocosearchError."""
        idle = [self._idle.get() for _ in self._workers]
        try:
            for one in idle:
                one.start()
        finally:
            for one in idle:
                self._idle.put(one)

    def jpeg(self, source: Source, longest: int, limits: Limits | None = None) -> bytes:
        """The picture as a JPEG file without metadata, upright, at most `longest` pixels a side.

        Raises Unreadable with the reason.
        """
        return self._ask(source, limits, {"task": "jpeg", "longest": longest})[1][0]

    def png(
        self,
        source: Source,
        longest: int,
        crop: Crop | None = None,
        limits: Limits | None = None,
    ) -> bytes:
        """The upright picture, or a region of it, as a PNG file of at most `longest` pixels a side.

        Raises Unreadable with the reason, and Unsuitable for a region outside the picture.
        """
        region = None if crop is None else asdict(crop)
        return self._ask(source, limits, {"task": "png", "longest": longest, "crop": region})[1][0]

    def squares(
        self,
        source: Source,
        side: int,
        crop: Crop | None,
        borders: bool,
        limits: Limits | None = None,
    ) -> Squares:
        """`squares` of a picture. Raises Unreadable with the reason, and Unsuitable for a region
        outside the picture.
        """
        region = None if crop is None else asdict(crop)
        request = {"task": "squares", "side": side, "crop": region, "borders": borders}
        answer, parts = self._ask(source, limits, request)
        pixels = [np.frombuffer(part, np.uint8).reshape(side, side, 3) for part in parts]
        return Squares(pixels, answer["digest"])

    def _ask(
        self, source: Source, limits: Limits | None, request: dict[str, Any]
    ) -> tuple[dict[str, Any], list[bytes]]:
        data = source if isinstance(source, bytes) else None
        if data == b"":
            raise Unreadable("empty file")
        request["path"] = None if isinstance(source, bytes) else source
        request["limits"] = None if limits is None else asdict(limits)
        one = self._idle.get()
        try:
            answer, parts = one.ask(request, data)
        finally:
            self._idle.put(one)
        if "unsuitable" in answer:
            raise Unsuitable(answer["unsuitable"])
        if "reason" in answer:
            raise Unreadable(answer["reason"])
        return answer, parts

    def close(self) -> None:
        """End the processes; none is started any more."""
        for one in self._workers:
            one.close()


class _Worker:
    """One process, replaced when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """End the process for good."""
        self._closed.set()
        self.end()

    def ask(
        self, request: dict[str, Any], data: bytes | None
    ) -> tuple[dict[str, Any], list[bytes]]:
        """The answer of the process. Raises MocosearchError if none starts."""
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(TIME_LIMIT, kill)
        timer.daemon = True
        timer.start()
        try:
            protocol.send(process.stdin, json.dumps(request).encode())
            if data is not None:
                protocol.send(process.stdin, data)
            process.stdin.flush()
            answer = json.loads(protocol.receive(process.stdout))
            return answer, [protocol.receive(process.stdout) for _ in range(answer["parts"])]
        except (EOFError, OSError, ValueError):
            self.end()
            reason = f"{LATE} {TIME_LIMIT:.0f} s" if late.is_set() else CRASHES
            return {"reason": reason, "parts": 0}, []
        finally:
            timer.cancel()

    def start(self) -> subprocess.Popen[bytes]:
        """The process, which is started if there is none."""
        for _ in range(ATTEMPTS):
            if self._process is not None and self._process.poll() is None:
                return self._process
            self.end()
            process = self._process = protocol.spawn("mocosearch.photos.workers.decoders")
            assert process.stdout is not None
            if process.stdout.readline() == protocol.READY and not self._closed.is_set():
                return process
            self.end()
            if self._closed.is_set():
                break
        raise MocosearchError(
            "a process that decodes pictures did not start", "check whether there is enough memory"
        )

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            protocol.end(process)


def _answer(request: dict[str, Any], data: bytes | None) -> tuple[dict[str, Any], list[bytes]]:
    limits = None if request["limits"] is None else Limits(**request["limits"])
    path = request["path"]
    try:
        if path is not None and (not os.path.isfile(path) or (data := read(path)) is None):
            raise Unreadable("not a picture" if os.path.exists(path) else "no such file")
        assert data is not None
        if limits is not None:
            _check(data, limits)
        return _TASKS[request["task"]](request, data)
    except Unsuitable as error:
        return {"unsuitable": error.what}, []
    except Unreadable as error:
        return {"reason": error.what}, []
    except MemoryError:
        return {"reason": TOO_LARGE}, []


def _check(data: bytes, limits: Limits) -> None:
    """Raises Unreadable for too large a file or picture, of which only the header is read."""
    if len(data) > limits.bytes:
        raise Unreadable(f"larger than {limits.bytes // 10**6} MB")
    kind = format_of(data)
    if kind is None:
        raise Unreadable("not a picture in any known format")
    if kind == "RAW":
        # Its pixels are limited by its bytes.
        return
    try:
        width, height = open_image(data, kind).size
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(" ".join(str(error).split())[:200]) from error
    if width * height > limits.pixels:
        raise Unreadable(
            f"{width} x {height} pixels, over the limit of {limits.pixels // 10**6} million"
        )


def _jpeg(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    picture = decode_image(data, request["longest"])
    # Pillow copies a comment and XMP into the new file.
    picture.info = {}
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY, progressive=False, optimize=False)
    return {}, [out.getvalue()]


def _png(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    longest = request["longest"]
    if request["crop"] is None:
        picture = decode_image(data, longest)
    else:
        picture = Crop(**request["crop"]).cut(decode_image(data, MAX_PIXELS))
        picture.thumbnail((longest, longest), reducing_gap=3.0)
    picture.info = {}
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return {}, [out.getvalue()]


def _squares(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    crop = None if request["crop"] is None else Crop(**request["crop"])
    parts = squares(data, request["side"], crop, request["borders"])
    return {"digest": digest_of(data).hex()}, [part.tobytes() for part in parts]


_TASKS: dict[str, Callable[[dict[str, Any], bytes], tuple[dict[str, Any], list[bytes]]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "squares": _squares,
}


def main() -> None:
    """Answer until stdin ends."""
    results = protocol.start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            request = json.loads(protocol.receive(sys.stdin.buffer))
            data = protocol.receive(sys.stdin.buffer) if request["path"] is None else None
            protocol.set_alarm(protocol.ALARM)
            answer, parts = _answer(request, data)
            protocol.set_alarm(0)
            protocol.send(results, json.dumps(answer | {"parts": len(parts)}).encode())
            for part in parts:
                protocol.send(results, part)
            results.flush()


if __name__ == "__main__":
    main()
