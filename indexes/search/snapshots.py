"""The snapshots through which the threads of a program read one store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from indexes.search.snapshot import Snapshot
from indexes.store.environment import Store


class Snapshots:
    """One snapshot per thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._local = threading.local()
        self._open: WeakSet[Snapshot] = WeakSet()
        self._lock = threading.Lock()

    def current(self) -> Snapshot:
        """This thread's snapshot; a new one if it has none. Raises Unsuitable after a fork."""
        self._store.check_process()
        snapshot: Snapshot | None = getattr(self._local, "snapshot", None)
        if snapshot is None or snapshot.ended:
            with self._lock:
                snapshot = self._local.snapshot = Snapshot(self._store.begin_read())
                self._open.add(snapshot)
        return snapshot

    def refresh(self) -> bool:
        """End this thread's snapshot; returns whether the store is another environment now.

        An environment that another program has put in this one's place is opened once no thread
        has a snapshot.
        """
        snapshot: Snapshot | None = getattr(self._local, "snapshot", None)
        with self._lock:
            if snapshot is not None and not snapshot.ended:
                self._local.snapshot = None
                self._open.discard(snapshot)
                snapshot.end()
            return not self._open and self._store.follow()

    def refresh_all(self) -> bool:
        """End every snapshot; returns whether the store is another environment now."""
        with self.suspend():
            return self._store.follow()

    @contextmanager
    def suspend(self) -> Iterator[None]:
        """End every snapshot; no thread gets a new one until the block ends."""
        with self._lock:
            for snapshot in list(self._open):
                snapshot.end()
            self._open.clear()
            yield
