"""From files to keys that are found: read, encode and commit, all at one time."""

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

ENCODED_AT_ONCE = 32
COMMITTED_AT_ONCE = 1024
COMMIT_SECONDS = 10.0
"""Photos become visible, and safe from a crash, after so many or so long."""
FIT_SECONDS = 300.0
"""So long the first photos wait for a whitening, and are lost by a crash."""
SAID_SECONDS = 0.2
FITTED_ON = 2048
"""Photos that a whitening is fitted on; all of a collection move no figure further."""


def embed(
    store: Store,
    encoder: Encoder,
    work: list[FileStat],
    workers: int | None,
    counts: Counts,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    """Read, encode and commit; reading goes on in other processes while keys are computed.

    The first photos of an index, where its encoder's whitening was fitted on others, have it
    fitted on a sample of them, which is read first and becomes visible together with it.
    """
    run = _Run(store, encoder, counts)
    if run.refit is not None:
        work = _sample_first(work, FITTED_ON)
    begun = said = time.monotonic()
    done = 0

    def progress() -> Progress:
        rate = done / max(time.monotonic() - begun, 1e-9)
        return Progress(done, len(work), counts.skipped, rate)

    for done, (found, outcome) in enumerate(read_photos(work, encoder.side, workers), 1):  # noqa: B007
        run.take(found, outcome)
        if time.monotonic() - said > SAID_SECONDS:
            report(progress())
            said = time.monotonic()
        if run.full():
            run.commit()
        if stopped():
            break
    run.commit()
    report(progress())


class _Run:
    """The batch that is being made, and what makes its keys."""

    def __init__(self, store: Store, encoder: Encoder, counts: Counts) -> None:
        self.store, self.encoder, self.counts = store, encoder, counts
        self.refit = _refit(store, encoder)
        self.batch = Batch()
        self.pictures: list[tuple[FileStat, bytes, Picture]] = []
        """Read, and not encoded yet."""
        self.committed_at = time.monotonic()

    def take(self, found: FileStat, outcome: Photo | str | None) -> None:
        """A picture, a reason why there is none, or None for what is no picture."""
        if not isinstance(outcome, Photo):
            self.batch.skipped.append((found, outcome))
            self.counts.skip(found, outcome)
        elif self._known(outcome.digest):
            self.batch.known.append((found, outcome.digest))
            self.counts.moved += 1
        else:
            self.pictures.append((found, outcome.digest, outcome.picture))
            self.counts.embedded += 1
            if len(self.pictures) == ENCODED_AT_ONCE:
                self._encode()

    def full(self) -> bool:
        """Whether to commit now."""
        waited = time.monotonic() - self.committed_at
        if self.refit is not None:
            return len(self.batch.new) >= FITTED_ON or (waited > FIT_SECONDS and self._any())
        return len(self.batch) >= COMMITTED_AT_ONCE or (waited > COMMIT_SECONDS and self._any())

    def commit(self) -> None:
        """Make what was taken visible."""
        self._encode()
        if not len(self.batch):
            return
        fitted = None
        if self.refit is not None and self.batch.keys:
            fitted, keys = self.refit.fit(np.concatenate(self.batch.keys))
            self.batch.keys, self.encoder, self.refit = [keys], fitted, None

        def change(txn: Txn) -> None:
            if fitted is not None:
                replace_encoder(txn, fitted)
            commit(txn, self.batch)

        self.store.write(change)
        merging.merge(self.store)
        self.batch, self.committed_at = Batch(), time.monotonic()

    def _any(self) -> bool:
        return bool(self.pictures) or len(self.batch) > 0

    def _known(self, digest: bytes) -> bool:
        with self.store.read() as txn:
            return txn.get("digests", digest) is not None

    def _encode(self) -> None:
        if self.pictures:
            pixels = np.stack([picture.pixels for _, _, picture in self.pictures])
            of = self.encoder.encode if self.refit is None else self.refit.features
            self.batch.keys.append(of(pixels))
            self.batch.new.extend((found, digest, p.facts) for found, digest, p in self.pictures)
            self.pictures.clear()


def _refit(store: Store, encoder: Encoder) -> "Refit | None":
    from mocosearch.encoder.refit import Refit

    with store.read() as txn:
        first = txn.count("vectors") == 0
    return Refit(encoder) if first and encoder.card.whitening != OWN else None


def _sample_first(work: list[FileStat], n: int) -> list[FileStat]:
    """The same files, n of them from everywhere before the others, and n more behind those, for
    there are some that are no photos.
    """
    chosen = sorted({round(at) for at in np.linspace(0, len(work) - 1, min(2 * n, len(work)))})
    first = [*chosen[::2], *chosen[1::2]]
    held = set(first)
    return [*(work[at] for at in first), *(f for at, f in enumerate(work) if at not in held)]
