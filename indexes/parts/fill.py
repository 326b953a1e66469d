"""Keys of regions for photos that have none yet, while others are embedded and afterwards."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from indexes.parts import codec, store
from indexes.store.environment import Store
from indexes.store.features import Features
from indexes.store.records import Record, id_key
from indexes.store.roots import Roots
from mocosearch.encoder import Encoder
from mocosearch.encoder.regions import Regions
from mocosearch.photos import FileStat, Photo, read_photos
from mocosearch.photos.decode import Pixels

BATCH, COMMIT = 32, 1024
"""Photos that are encoded, and committed, together."""


@dataclass(frozen=True)
class _Missing:
    """A photo without keys of regions: its id, its content's digest and a file of it."""

    id: int
    digest: bytes
    file: FileStat


class Filling:
    """Computes the regions of photos, and trains the codec when enough of them wait for it."""

    def __init__(self, target: Store, encoder: Encoder) -> None:
        self.store, self.regions = target, Regions(encoder)
        with target.read() as txn:
            self.trained = codec.is_trained(txn)

    @classmethod
    def of(cls, target: Store, encoder: Encoder) -> "Filling | None":
        """None where the index has no keys of regions."""
        with target.read() as txn:
            return cls(target, encoder) if store.is_enabled(txn) else None

    def features(self, pixels: Pixels) -> Features:
        """Of the regions of photos: uint8 (n, side, side, 3) to fp16 (n, R, D)."""
        return self.regions.photos(pixels)

    def after_commit(self, least: int = store.FIT_PHOTOS) -> None:
        """Train the codec if at least so many photos wait for it; keep the segments few."""
        if not self.trained:
            with self.store.read() as txn:
                waiting = store.waiting(txn)
            if waiting >= max(1, least):
                store.fit(self.store)
                self.trained = True
        store.merge_regions(self.store, everything=False)


def fill(
    target: Store,
    encoder: Encoder,
    workers: int | None,
    report: Callable[[int, int, float], None],
    stopped: Callable[[], bool],
) -> int:
    """Read every photo that has no keys of regions, and give it some; returns how many got them.

    A photo whose files are gone or cannot be read now stays without, until another run. report:
    called with photos done, photos in all and photos per second. Raises Unsuitable for an encoder
    without maps, StorageFailed.
    """
    with target.read() as txn:
        outgrown = store.is_outgrown(txn)
    if outgrown:
        target.write(store.clear)
    filling = Filling(target, encoder)
    files = _files(target)
    start, done, ids = time.monotonic(), 0, list[int]()
    parts: list[Features] = []
    for batch in _batches(files, encoder.side, workers):
        if stopped():
            break
        ids += [id for id, _ in batch]
        parts.append(filling.features(np.stack([pixels for _, pixels in batch])))
        done += len(batch)
        report(done, len(files), done / max(time.monotonic() - start, 1e-9))
        if len(ids) >= COMMIT:
            _commit(filling, ids, parts)
            ids, parts = [], []
    _commit(filling, ids, parts)
    filling.after_commit(1)
    return done


def _commit(filling: Filling, ids: list[int], parts: list[Features]) -> None:
    if ids:
        rows = np.concatenate(parts)
        filling.store.write(lambda txn: store.append(txn, ids, rows))
        filling.after_commit()


def _files(target: Store) -> list[_Missing]:
    """A file of each photo without keys of regions."""
    files = []
    with target.read() as txn:
        roots = Roots.of(txn)
        for id in store.missing(txn):
            stored = txn.get("images", id_key(id))
            record = Record.from_bytes(stored) if stored is not None else None
            for path in map(roots.path, record.paths if record else ()):
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                if record is not None and status.st_size == record.size:
                    digest = bytes.fromhex(record.digest)
                    files.append(_Missing(id, digest, FileStat.of(path, status)))
                    break
    return files


def _batches(
    files: "list[_Missing]", side: int, workers: int | None
) -> Iterator[list[tuple[int, Pixels]]]:
    batch: list[tuple[int, Pixels]] = []
    results = read_photos([one.file for one in files], side, workers)
    for one, (_, result) in zip(files, results, strict=True):
        # A file that has changed since is another photo.
        if isinstance(result, Photo) and result.digest == one.digest:
            batch.append((one.id, result.picture.pixels))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
