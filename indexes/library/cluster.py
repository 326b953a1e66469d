"""Shards built as tasks of Ray, on this machine or on a cluster.

Only paths and counts go through Ray's object store. The machines need the same packages, and the
same paths to the photos and to the library.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from indexes.library.build import build_shard
from indexes.sync.counts import Counts, Progress
from mocosearch.errors import Busy, MissingPackage, MocosearchError, StorageFailed

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, started for one build."""
RETRIES = 3
"""Further attempts at a shard whose process or machine has died."""
POLL = 1.0
"""Seconds between two looks at the progress."""


def build_on_ray(
    folder: Path,
    names: Sequence[str],
    address: str,
    *,
    scratch: Path | None = None,
    cores: int = 1,
    report: Callable[[int, int], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Counts]:
    """Build shards as tasks of `cores` cores each; the counts by the names of the shards.

    A shard whose process or machine dies is built again elsewhere, from where it was if its
    unfinished part is on a disk that both machines reach. address: of a cluster, or LOCAL. report:
    called with the number of files read, and of those to read as far as that is known.

    Raises MissingPackage, what `build_shard` raises, and StorageFailed where a cluster cannot be
    reached or its machines die.
    """
    with connected(address) as ray:
        progress = ray.remote(num_cpus=0, max_restarts=-1)(_Totals).remote()
        task = ray.remote(
            num_cpus=cores, max_retries=RETRIES, retry_exceptions=[StorageFailed, Busy]
        )(_build)
        place = None if scratch is None else os.fspath(scratch)
        words = os.fspath(folder.absolute()), place, cores, progress
        pending = {task.remote(name, *words): name for name in names}
        results: dict[str, Counts] = {}
        while pending and not stopped():
            ready, _ = ray.wait(list(pending), timeout=POLL)
            for one in ready:
                results[pending.pop(one)] = _result(ray, one)
            with suppress(ray.exceptions.RayError):
                report(*ray.get(progress.totals.remote(), timeout=POLL))
        for one, name in pending.items():
            with suppress(ray.exceptions.RayError):
                ray.cancel(one)
            results[name] = Counts(interrupted=True)
        return results


def _build(name: str, folder: str, scratch: str | None, cores: int, progress: Any) -> Counts:
    """One task."""

    def report(at: Progress) -> None:
        progress.add.remote(name, at.done, at.total)

    place = None if scratch is None else Path(scratch)
    return build_shard(
        Path(folder), name, scratch=place, workers=cores, threads=cores, report=report
    )


class _Totals:
    """The progress of all tasks."""

    def __init__(self) -> None:
        self._shards: dict[str, tuple[int, int]] = {}

    def add(self, name: str, done: int, total: int) -> None:
        """The progress of one shard."""
        self._shards[name] = done, total

    def totals(self) -> tuple[int, int]:
        """Files read, and files to read of the shards that have begun."""
        done, total = zip((0, 0), *self._shards.values(), strict=True)
        return sum(done), sum(total)


def _result(ray: Any, one: Any) -> Counts:
    try:
        counts: Counts = ray.get(one)
        return counts
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MocosearchError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise StorageFailed(
            f"a shard could not be built: {str(error).splitlines()[0]}",
            "run the same command again: what is built stays",
        ) from error


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected. Only programs with the cluster's token can use it, and it reports nothing."""
    ray = load_ray()
    options: dict[str, Any] = {"num_cpus": os.cpu_count()} if address == LOCAL else {}
    try:
        ray.init(
            None if address == LOCAL else address,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,
            logging_level="ERROR",
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StorageFailed(
            f"cannot use Ray at {address}: {str(error).splitlines()[0]}",
            "name the address that `ray start` printed, and set RAY_AUTH_TOKEN to its token",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def load_ray() -> Any:
    """The ray module, with a token for its connections, and without reports about its use.

    Raises MissingPackage.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    named = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if not named and not (Path.home() / ".ray" / "auth_token").exists():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        import ray
    except ImportError as error:
        raise MissingPackage("this needs Ray", "pip install 'mocosearch[cluster]'") from error
    return ray
