"""From files to searchable keys: read, encode and commit at the same time."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from indexes.parts.fill import Filling
from indexes.search import merging
from indexes.store.environment import Store
from indexes.store.records import PathEntry, id_of, path_key
from indexes.store.roots import Roots
from indexes.sync.contents import recognise
from indexes.sync.counts import Counts, Progress
from indexes.sync.diff import is_vacant
from indexes.sync.entries import Batch, commit
from indexes.sync.fitting import FIT_PHOTOS, Fitting
from mocosearch.encoder import Encoder
from mocosearch.encoder.batches import Batches
from mocosearch.encoder.regions import joint
from mocosearch.encoder.runtime import openvino
from mocosearch.errors import MocosearchError, NotFound
from mocosearch.photos import Facts, FileStat, Photo, Picture, ReadResult, read_photos
from mocosearch.photos.failures import is_temporary

FIRST_BATCH = 200
"""New photos of the first commit of an index."""
COMMIT_BATCH = 1024
COMMIT_SECONDS = 10.0
"""Photos become visible, and safe from a crash, after so many or after this time."""
REPORT_SECONDS = 0.2
Result = ReadResult | bytes
"""Of a file: what reading it gave, or the digest of its content if that has a key."""
Waiting = tuple[FileStat, bytes, Picture]
"""A picture without a key, its file and the digest of its content."""


def embed(
    store: Store,
    encoder: Encoder,
    files: list[FileStat],
    workers: int | None,
    counts: Counts,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
    ids: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Read, encode and commit files; other processes read while keys are computed.

    ids: of new photos by path, where they are given.

    If the encoder's whitening was fitted on other photos, it is fitted on a sample of these, which
    is read first: see `fitting`. Raises NotFound if a root disappears, and MocosearchError if no
    file can be read; what was read before is committed.
    """
    writer = _Writer(store, encoder, counts, ids)
    start = last_report = time.monotonic()
    done = 0

    def progress() -> Progress:
        rate = done / max(time.monotonic() - start, 1e-9)
        return Progress(done, len(files), counts.skipped, rate)

    results = _read(store, encoder.side, files, workers, writer.fitting is not None)
    for file, result in writer.check(results):
        done += 1
        writer.add(file, result)
        if time.monotonic() - last_report > REPORT_SECONDS:
            report(progress())
            last_report = time.monotonic()
        if writer.is_due():
            writer.commit()
        if stopped():
            break
    writer.commit()
    if not stopped():
        writer.fit()
    report(progress())


def _read(
    store: Store, side: int, files: list[FileStat], workers: int | None, sample: bool
) -> Iterator[tuple[FileStat, Result]]:
    """Each file with its result; only with the digest if its content already has a key.

    sample: the others begin with an evenly spaced sample for the whitening.
    """
    others = []
    for file, digest in recognise(store, files, workers):
        if digest is None:
            others.append(file)
        else:
            yield file, digest
    yield from read_photos(_sample_first(others, FIT_PHOTOS) if sample else others, side, workers)


class _Writer:
    """Collects files in a batch, computes their keys, and commits them."""

    def __init__(
        self, store: Store, encoder: Encoder, counts: Counts, ids: Mapping[str, int]
    ) -> None:
        self.store, self.encoder, self.counts, self.ids = store, encoder, counts, ids
        self.fitting = Fitting.of(store, encoder)
        self._fit_if_due(FIT_PHOTOS)
        self.parts = Filling.of(store, encoder)
        self.batch = Batch(ids=ids)
        self.pictures: list[Waiting] = []
        """Pictures to encode, less than a batch."""
        self.encoding: deque[tuple[list[Waiting], Future[list[Any]]]] = deque()
        """Pictures that are being encoded, a batch each."""
        self.last_commit = time.monotonic()
        with store.read() as txn:
            self.roots, self.first = Roots.of(txn), not txn.count("vectors")

    def check(
        self, results: Iterator[tuple[FileStat, Result]]
    ) -> Iterator[tuple[FileStat, Result]]:
        """The same results. If reading fails, or a root disappears, commits and raises."""
        try:
            for file, result in results:
                self._check_root(file, result)
                yield file, result
        except MocosearchError:
            self.commit()
            raise

    def _check_root(self, file: FileStat, result: Result) -> None:
        """Raises NotFound if a file cannot be read because its root has disappeared."""
        if not isinstance(result, str) or not is_temporary(result):
            return
        number = self.roots.number(file.path)
        root = file.path if number is None else self.roots.places[number]
        if is_vacant(root):
            raise NotFound(
                f"{root} disappeared while it was read; what was read before is in the index",
                "mount the disk, or put the folder back, and run the same command again",
            )

    def add(self, file: FileStat, result: Result) -> None:
        """Take a photo, the digest of one that has a key, the reason why there is none, or None
        for a file that is not a picture.
        """
        if isinstance(result, bytes):
            self._add_known(file, result)
        elif not isinstance(result, Photo):
            self.batch.skipped.append((file, result))
            self.counts.skip(file, result)
        elif self._id(result.digest) is not None:
            self._add_known(file, result.digest, result.picture.facts)
        else:
            self.pictures.append((file, result.digest, result.picture))
            self.counts.embedded += 1
            if len(self.pictures) == self._batches.batch:
                self._encode()

    def is_due(self) -> bool:
        """Whether to commit now."""
        most = FIRST_BATCH if self.first else COMMIT_BATCH
        if self.fitting is not None:
            most = min(most, max(1, FIT_PHOTOS - self.fitting.photos))
        waiting = len(self.pictures) + sum(len(pictures) for pictures, _ in self.encoding)
        if len(self.batch.new) + waiting >= most or len(self.batch) + waiting >= COMMIT_BATCH:
            return True
        seconds = time.monotonic() - self.last_commit
        return seconds > COMMIT_SECONDS and len(self.batch) + waiting > 0

    def commit(self) -> None:
        """Make everything added so far visible."""
        self._encode()
        self._collect(0)
        if not len(self.batch):
            return
        if self.fitting is not None and self.batch.features:
            self.batch.keys.append(self.fitting.keys(np.concatenate(self.batch.features)))
        self.store.write(lambda txn: commit(txn, self.batch))
        merging.merge(self.store)
        if self.parts is not None:
            self.parts.after_commit()
        if self.fitting is not None:
            self.fitting.count()
            self._fit_if_due(FIT_PHOTOS)
        self.first = self.first and not self.batch.new
        self.batch, self.last_commit = Batch(ids=self.ids), time.monotonic()

    def fit(self) -> None:
        """Fit the whitening, and train the codec of regions, on the photos there are."""
        if self.parts is not None:
            self.parts.after_commit(1)
        if self.fitting is not None:
            self._fit_if_due(self.fitting.least)

    def _fit_if_due(self, least: int) -> None:
        if self.fitting is not None and self.fitting.photos >= least:
            self.encoder, self.fitting = self.fitting.fit(), None
            self.__dict__.pop("_batches", None)

    @cached_property
    def _batches(self) -> Batches:
        """Computes keys, or features where the whitening is still to be fitted; then features of
        regions where the index has parts.
        """
        if self.parts is None:
            return self.encoder.batches if self.fitting is None else self.fitting.batches
        if self.fitting is None:
            return joint(self.encoder.model(openvino().Core()))
        return joint(self.fitting.model())

    def _add_known(self, file: FileStat, digest: bytes, facts: Facts | None = None) -> None:
        with self.store.read() as txn:
            value = txn.get("paths", path_key(self.roots.relative(file.path)))
            id = None if value is None else PathEntry.from_bytes(value).id
        self.batch.moves.append((file, digest, facts))
        if id is not None and id == self._id(digest):
            self.counts.unchanged += 1
        else:
            self.counts.moved += 1

    def _id(self, digest: bytes) -> int | None:
        with self.store.read() as txn:
            key = txn.get("digests", digest)
            return None if key is None else id_of(key)

    def _encode(self) -> None:
        """Begin to encode the pictures; wait where many are being encoded already."""
        if self.pictures:
            pixels = np.stack([picture.pixels for _, _, picture in self.pictures])
            self.encoding.append((self.pictures, self._batches.submit(pixels)))
            self.pictures = []
            # One batch for each inference that runs, and one that waits for it.
            self._collect(2 * self._batches.at_once)

    def _collect(self, most: int) -> None:
        """Add pictures to the commit as they are encoded, until so many batches are left."""
        while len(self.encoding) > most:
            self._add_encoded(*self.encoding.popleft())

    def _add_encoded(self, pictures: list[Waiting], outputs: "Future[list[Any]]") -> None:
        output, *regions = outputs.result()
        self.batch.regions.extend(some.astype(np.float16) for some in regions)
        if self.fitting is None:
            self.batch.keys.append(output)
        else:
            self.batch.features.append(output.astype(np.float16))
        self.batch.new.extend((file, digest, p.facts) for file, digest, p in pictures)


def _sample_first(files: list[FileStat], n: int) -> list[FileStat]:
    """The same files, evenly spaced ones first: n, and another n because some are not photos."""
    rows = sorted({round(row) for row in np.linspace(0, len(files) - 1, min(2 * n, len(files)))})
    first = [*rows[::2], *rows[1::2]]
    sample = set(first)
    rest = (file for row, file in enumerate(files) if row not in sample)
    return [*(files[row] for row in first), *rest]
