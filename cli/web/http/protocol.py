"""HTTP over one connection, which is closed where the client does nothing with it."""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE = 20.0
"""Seconds in which a client must begin a request, or take the rest of an answer."""


class PatientProtocol(H11Protocol):
    """uvicorn's, with a time limit before the first request, within its headers, and after an
    answer. While a request is answered, `security` has the limits.
    """

    _check: asyncio.TimerHandle | None = None
    _before: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the connection."""
        super().connection_made(transport)
        # asyncio does this only for sockets that were created with the number of the protocol.
        # Otherwise the second part of an answer waits 40 ms for the client's acknowledgement.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End to watch it."""
        super().connection_lost(exc)
        if self._check is not None:
            self._check.cancel()

    def _watch(self) -> None:
        self._check = self.loop.call_later(IDLE, self._close_if_idle)

    def _close_if_idle(self) -> None:
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if self.transport.is_closing() or (not answering and cycle is self._before):
            # What the client has not taken is dropped.
            self.transport.abort()
            return
        self._before = None if answering else cycle
        self._watch()
