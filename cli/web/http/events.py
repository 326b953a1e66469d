"""Server-sent events: a line to every open page when photos change."""

import asyncio
from collections.abc import AsyncIterator

from cli.web.http.errors import RequestError

MOST = 100
"""Streams at one time."""
HEARTBEAT = 15.0
"""Seconds between two comments, by which both ends notice that the other has gone."""


class Events:
    """The streams that are open, and the version of which they know."""

    def __init__(self) -> None:
        self.version = ""
        self._changed = asyncio.Event()
        self._streams = 0
        self._closed = False

    def __len__(self) -> int:
        """Number of open streams."""
        return self._streams

    def publish(self, version: str) -> None:
        """Tell every stream of a version, if it is another one."""
        if version and version != self.version:
            self.version = version
            self._wake()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    def stream(self) -> AsyncIterator[bytes]:
        """The events from now on, the present version first. Raises RequestError for too many."""
        if self._streams >= MOST:
            raise RequestError(503, "too many event streams are open", "close some pages")
        return self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            sent = None
            while not self._closed:
                changed = self._changed
                if self.version != sent:
                    sent = self.version
                    yield f"event: version\ndata: {sent}\n\n".encode()
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await changed.wait()
                except TimeoutError:
                    yield b": \n\n"
        finally:
            self._streams -= 1
