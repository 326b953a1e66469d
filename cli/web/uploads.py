"""Pictures that were sent, kept in memory so that a search can be refined."""

import secrets
from collections import OrderedDict
from threading import Lock

from cli.web.http.errors import RequestError

MOST = 64
"""Pictures."""
MOST_BYTES = 64_000_000
"""Bytes of them all; one picture may have as many."""


class Uploads:
    """The last pictures that were sent, by handles that cannot be guessed. They are never written
    to a disk.
    """

    def __init__(self) -> None:
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def add(self, data: bytes) -> str:
        """Keep a picture; returns its handle. The ones unused for longest make place."""
        handle = f"u{secrets.token_hex(8)}"
        with self._lock:
            self._pictures[handle] = data
            while len(self._pictures) > MOST or self._bytes() > MOST_BYTES:
                if len(self._pictures) == 1:
                    break
                self._pictures.popitem(last=False)
        return handle

    def get(self, handle: str) -> bytes:
        """A picture's file. Raises RequestError where it is no longer there."""
        with self._lock:
            data = self._pictures.get(handle)
            if data is None:
                raise RequestError(404, f"there is no upload {handle}", "send the picture again")
            self._pictures.move_to_end(handle)
            return data

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        with self._lock:
            return self._bytes()

    def _bytes(self) -> int:
        return sum(map(len, self._pictures.values()))
