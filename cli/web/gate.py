"""A lock that many threads share, or one holds alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Shared by readers; a thread that wants it alone waits for them, and new readers for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._waiting = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Together with other readers."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone and not self._waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Without any other thread."""
        with self._condition:
            self._waiting += 1
            self._condition.wait_for(lambda: not self._alone and not self._readers)
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()
