"""What the endpoints share: the collection, thumbnails, decoders, uploads and counts."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cli.web.background.copies import Copies
from cli.web.background.maps import Maps
from cli.web.background.memory import release
from cli.web.collection import Collection
from cli.web.http.bodies import Bodies
from cli.web.http.events import Events
from cli.web.http.metrics import Metrics
from cli.web.others import Others
from cli.web.uploads import Uploads
from indexes import Reader, open_reader
from indexes.thumbnails import LIMIT, Thumbnails
from mocosearch.photos.workers.decoders import Decoders, Limits

MOST_BYTES = 64_000_000
"""Of the body of a request."""
MOST_PIXELS = 200_000_000
"""Of an uploaded picture."""
WORKERS = 2
"""Processes that decode, of about 45 MB each."""

T = TypeVar("T")


@dataclass
class Service:
    """The state of one server. name: of the index, as it was given."""

    name: str
    collection: Collection
    thumbnails: Thumbnails
    decoders: Decoders
    copies: Copies
    maps: Maps
    limits: Limits = field(default_factory=lambda: Limits(MOST_BYTES, MOST_PIXELS))
    uploads: Uploads = field(default_factory=Uploads)
    events: Events = field(default_factory=Events)
    metrics: Metrics = field(default_factory=Metrics)
    bodies: Bodies = field(default_factory=lambda: Bodies(MOST_BYTES))
    changing_look: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a look is read, changed and stored."""
    others: Others = field(default_factory=Others)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(2 * WORKERS + 2, "decoding")
    )

    @classmethod
    def open(
        cls,
        name: str,
        folder: Path,
        thumbnail_bytes: int = LIMIT,
        reader: Callable[[Path], Reader] = open_reader,
    ) -> "Service":
        """reader: opens the collection. Raises what that raises."""
        collection = Collection(folder, open=reader)
        decoders = Decoders(min(WORKERS, os.cpu_count() or 1))
        thumbnails = Thumbnails.open(folder, thumbnail_bytes)
        return cls(name, collection, thumbnails, decoders, Copies(folder), Maps(folder))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The result of some work that waits for a disk or a decoder."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def follow(self) -> None:
        """Show what is committed now, and tell the open pages."""
        self.events.publish(await asyncio.to_thread(self._follow))

    def _follow(self) -> str:
        release(self.collection.folder)
        return self.collection.follow()

    def close(self) -> None:
        """End the processes and threads; nothing waits for work that still runs."""
        self.events.close()
        self.copies.close()
        self.maps.close()
        self.decoders.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.collection.close()
        self.others.close()
        self.thumbnails.close()
