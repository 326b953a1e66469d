"""From files to searchable keys: read, encode and commit at the same time."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from indexes.search import merging
from indexes.store.encoder import replace_encoder
from indexes.store.environment import Store
from indexes.store.txn import Txn
from indexes.sync.counts import Counts, Progress
from indexes.sync.entries import Batch, commit
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import OWN
from mocosearch.photos import FileStat, Photo, Picture, read_photos

if TYPE_CHECKING:
    from mocosearch.encoder.refit import Refit

ENCODE_BATCH = 32
"""Photos that are encoded together."""
COMMIT_BATCH = 1024
COMMIT_SECONDS = 10.0
"""Photos become visible, and safe from a crash, after so many or after this time."""
FIT_SECONDS = 300.0
"""The longest time that the first photos wait for a whitening. A crash loses them until then."""
REPORT_SECONDS = 0.2
FIT_PHOTOS = 2048
"""Photos that a whitening is fitted on. Fitting on a whole collection improves no figure."""


def embed(
    store: Store,
    encoder: Encoder,
    files: list[FileStat],
    workers: int | None,
    counts: Counts,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    """Read, encode and commit files; other processes read while keys are computed.

    If the index is empty and its encoder's whitening was fitted on other photos, it is fitted on
    a sample of these. The sample is read first, and becomes visible together with the new encoder.
    """
    writer = _Writer(store, encoder, counts)
    if writer.refit is not None:
        files = _sample_first(files, FIT_PHOTOS)
    start = last_report = time.monotonic()
    done = 0

    def progress() -> Progress:
        rate = done / max(time.monotonic() - start, 1e-9)
        return Progress(done, len(files), counts.skipped, rate)

    for file, result in read_photos(files, encoder.side, workers):
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
    report(progress())


class _Writer:
    """Collects files in a batch, computes their keys, and commits them."""

    def __init__(self, store: Store, encoder: Encoder, counts: Counts) -> None:
        self.store, self.encoder, self.counts = store, encoder, counts
        self.refit = _refit(store, encoder)
        self.batch = Batch()
        self.pictures: list[tuple[FileStat, bytes, Picture]] = []
        """Pictures to encode."""
        self.last_commit = time.monotonic()

    def add(self, file: FileStat, result: Photo | str | None) -> None:
        """Take a photo, the reason why there is none, or None for a file that is not a picture."""
        if not isinstance(result, Photo):
            self.batch.skipped.append((file, result))
            self.counts.skip(file, result)
        elif self._has_key(result.digest):
            self.batch.moves.append((file, result.digest))
            self.counts.moved += 1
        else:
            self.pictures.append((file, result.digest, result.picture))
            self.counts.embedded += 1
            if len(self.pictures) == ENCODE_BATCH:
                self._encode()

    def is_due(self) -> bool:
        """Whether to commit now."""
        seconds = time.monotonic() - self.last_commit
        if self.refit is not None:
            full, limit = len(self.batch.new) >= FIT_PHOTOS, FIT_SECONDS
        else:
            full, limit = len(self.batch) >= COMMIT_BATCH, COMMIT_SECONDS
        return full or (seconds > limit and (bool(self.pictures) or len(self.batch) > 0))

    def commit(self) -> None:
        """Make everything added so far visible."""
        self._encode()
        if not len(self.batch):
            return
        encoder = None
        if self.refit is not None and self.batch.keys:
            encoder, keys = self.refit.fit(np.concatenate(self.batch.keys))
            self.batch.keys, self.encoder, self.refit = [keys], encoder, None

        def change(txn: Txn) -> None:
            if encoder is not None:
                replace_encoder(txn, encoder)
            commit(txn, self.batch)

        self.store.write(change)
        merging.merge(self.store)
        self.batch, self.last_commit = Batch(), time.monotonic()

    def _has_key(self, digest: bytes) -> bool:
        with self.store.read() as txn:
            return txn.get("digests", digest) is not None

    def _encode(self) -> None:
        if self.pictures:
            pixels = np.stack([picture.pixels for _, _, picture in self.pictures])
            encode = self.encoder.encode if self.refit is None else self.refit.features
            self.batch.keys.append(encode(pixels))
            self.batch.new.extend((file, digest, p.facts) for file, digest, p in self.pictures)
            self.pictures.clear()


def _refit(store: Store, encoder: Encoder) -> "Refit | None":
    from mocosearch.encoder.refit import Refit

    with store.read() as txn:
        empty = txn.count("vectors") == 0
    return Refit(encoder) if empty and encoder.card.whitening != OWN else None


def _sample_first(files: list[FileStat], n: int) -> list[FileStat]:
    """The same files, evenly spaced ones first: n, and another n because some are not photos."""
    rows = sorted({round(row) for row in np.linspace(0, len(files) - 1, min(2 * n, len(files)))})
    first = [*rows[::2], *rows[1::2]]
    sample = set(first)
    rest = (file for row, file in enumerate(files) if row not in sample)
    return [*(files[row] for row in first), *rest]
