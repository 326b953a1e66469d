"""The shards of a library searched by replicas of Ray Serve, one for each shard.

The program that answers opens the shards too, and reads records and keys itself; the replicas
compute the searches. Only keys, filters, scores and ids are sent. Where a replica does not answer,
the program searches its shard itself, so that no answer is lost while Ray Serve starts another one.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from indexes.library.cluster import connected
from indexes.library.layout import is_complete, load_layout, shard_folder
from indexes.search.filters import Where
from indexes.search.segments import load_faiss
from indexes.search.snapshot import Snapshots
from indexes.store.environment import Store
from indexes.store.records import Ids, Keys

APP = "mocosearch"
SECONDS = 3.0
"""How long an answer of a replica is waited for."""
PAUSE = 5.0
"""After a failure, how long its shard is searched here without asking it."""


class Replica:
    """One shard, in a process of its own."""

    def __init__(self, folder: str, cores: int) -> None:
        load_faiss().omp_set_num_threads(cores)
        self._store = Store(Path(folder), writable=False)
        self._snapshots = Snapshots(self._store)

    def search(self, keys: Keys, k: int, where: Where | None) -> tuple[Keys, Ids]:
        """See `View.search`."""
        if self._snapshots.current().version != self._store.newest_version():
            self._snapshots.refresh()
        return self._snapshots.current().search(keys, k, where)

    def pid(self) -> int:
        """The process."""
        return os.getpid()


@contextmanager
def replicas(folder: Path, address: str, cores: int = 1) -> Iterator["Replicas"]:
    """A replica for each complete shard of a library, until the block ends.

    address: as of `build_on_ray`. Raises MissingPackage, StorageFailed.
    """
    with connected(address) as ray:
        from ray import serve

        serve.start(proxy_location="Disabled")
        names = [one.name for one in load_layout(folder).shards if is_complete(folder, one.name)]
        try:
            yield Replicas(ray, {name: _start(serve, folder, name, cores) for name in names})
        finally:
            serve.shutdown()


def _start(serve: Any, folder: Path, name: str, cores: int) -> Any:
    options = {"num_cpus": cores}
    deployment = serve.deployment(Replica, name=name, ray_actor_options=options)
    place = os.fspath(shard_folder(folder.absolute(), name))
    app = deployment.bind(place, cores)
    return serve.run(app, name=f"{APP}-{name}", route_prefix=None)


class Replicas:
    """The replicas by the names of their shards."""

    def __init__(self, ray: Any, handles: Mapping[str, Any]) -> None:
        self._ray, self._handles = ray, handles
        self._failures: dict[str, float] = {}
        """When the replica of a shard last failed, by the clock of time.monotonic."""

    def search(
        self, shard: str, keys: Keys, k: int, where: Where | None
    ) -> tuple[Keys, Ids] | None:
        """What the replica of a shard answers; None where it does not."""
        handle = self._handles.get(shard)
        last = self._failures.get(shard, -PAUSE)
        if handle is None or time.monotonic() - last < PAUSE:
            return None
        failures = (self._ray.exceptions.RayError, TimeoutError, RuntimeError)
        with suppress(*failures):
            result: tuple[Keys, Ids] = handle.search.remote(keys, k, where).result(
                timeout_s=SECONDS
            )
            return result
        self._failures[shard] = time.monotonic()
        return None

    def pid(self, shard: str) -> int:
        """The process of a replica."""
        return int(self._handles[shard].pid.remote().result(timeout_s=60))
