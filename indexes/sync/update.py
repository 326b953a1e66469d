"""One run of `mocosearch index`: what it changes, and what it decides from the state of the index.

Which encoder a new index gets, whether an index needs new keys, and whether one is empty.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from indexes.parts import store as parts
from indexes.parts.fill import fill
from indexes.search import kinds, merging
from indexes.search.kinds import Plan
from indexes.store import roots
from indexes.store.encoder import has_bound_encoder, is_intact, load_encoder
from indexes.store.environment import FORMAT, Store
from indexes.store.place import DATA
from indexes.store.records import SkippedFile
from indexes.store.txn import Txn
from indexes.sync.counts import Counts, Progress
from indexes.sync.entries import require
from indexes.sync.fitting import FIT_PHOTOS, fit_pending, is_pending
from indexes.sync.sync import remove_folder, sync_folders
from mocosearch.encoder import Card, Encoder, regions
from mocosearch.encoder.card import NOTHING, OWN
from mocosearch.home import names, not_found_error
from mocosearch.photos.scan import roots_of


@dataclass(frozen=True)
class Changes:
    """What one run changes, in the order of `update`."""

    folders: Sequence[str | os.PathLike[str]] = ()
    """Folders to bring the index up to date with."""
    exclude: Sequence[str] = ()
    """Patterns of names and paths to leave out."""
    retry: bool = False
    """Read skipped files again although they have not changed."""
    workers: int | None = None
    """Decoding processes; one per core by default."""
    prune: bool = False
    """Remove the photos of known folders that are missing or empty."""
    move: tuple[str, str] | None = None
    """A folder's old and new path."""
    remove: str | None = None
    """A folder to remove from the index."""
    kind: str | None = None
    """`auto` or a FAISS factory string; None leaves it unchanged."""
    recall: float | None = None
    """Above 0, up to 1; None leaves it unchanged."""
    parts: bool = False
    """From now on photos get keys of regions; those that have none get them in this run."""


@dataclass(frozen=True)
class UpdateReport:
    """What a run did, and the state of the index after it."""

    counts: Counts
    photos: int
    """Photos with a key."""
    whitened: int
    """Photos of the index that its encoder's whitening is fitted on."""
    outgrown: bool
    """Whether those are too few: see `is_outgrown`."""


def open_encoder(
    folder: Path, changes: Changes, encoder: str | None, notice: Callable[[str], None]
) -> Encoder | None:
    """The encoder for a run, opened; None where the index keeps its own and none is given.

    folder: of the index. encoder: name or path; a new index gets the encoder `default` if none is
    given, or else the starter. Everything that can be wrong with the changes of a new index is
    checked here, before it is created. Raises NotFound, Unsuitable, Damaged.
    """
    new = not is_bound(folder)
    if not changes.folders and not (folder / DATA).is_file():
        raise not_found_error("indexes", folder)
    if new:
        roots_of(changes.folders)
    if changes.move:
        roots_of(changes.move[1:])
    if encoder is None and new:
        encoder = _default_encoder(notice)
    if encoder is None:
        return None
    opened = Encoder.open(encoder)
    if new:
        kinds.check(Plan().replace(changes.kind, changes.recall), opened.dimension)
    return opened


def is_bound(folder: Path) -> bool:
    """Whether there is an index that keeps its encoder: a first run that was killed before its
    first photo was stored leaves one that does not.
    """
    if not (folder / DATA).is_file():
        return False
    with closing(Store(folder, writable=False)) as store:
        if store.version != FORMAT:
            return True
        with store.read() as txn:
            return has_bound_encoder(txn)


def _default_encoder(notice: Callable[[str], None]) -> str:
    if "default" in names("encoders"):
        return "default"
    notice(
        "no encoder called default: using the starter, with its whitening fitted on these photos; "
        "mocosearch train PHOTOS trains your own"
    )
    return "starter"


def update(
    store: Store,
    changes: Changes,
    encoder: Encoder | None,
    renew: Callable[[Encoder], Counts],
    *,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
    notice: Callable[[str], None],
) -> UpdateReport:
    """Move, choose kind and recall, remove, give new keys, then sync the folders.

    encoder: as of `open_encoder`. Every photo gets a new key if it is another one than the index's,
    or if the index's whitening is outgrown. renew: `indexes.generation.renew` for this store.
    notice: called with a line about a decision. Raises what these steps raise; what was committed
    before stays.
    """
    if changes.move:
        old, new = map(roots.absolute, changes.move)
        store.write(lambda txn: roots.move(txn, old, new))
    if changes.kind or changes.recall is not None:
        configure(store, changes.kind, changes.recall)
    if changes.parts:
        with store.read() as txn:
            regions.check(encoder or load_encoder(txn))
        store.write(parts.enable)
    removed = remove_folder(store, changes.remove) if changes.remove else 0
    renewal = Counts()
    if encoder is not None and (reason := _renewal_reason(store, encoder)):
        notice(f"{reason}: every photo gets a new key; until then the old keys answer queries")
        renewal = renew(encoder)
    if changes.folders and not renewal.interrupted:
        with store.read() as txn:
            own_encoder = load_encoder(txn)
        counts = sync_folders(
            store,
            own_encoder,
            changes.folders,
            exclude=changes.exclude,
            retry=changes.retry,
            workers=changes.workers,
            prune=changes.prune,
            report=report,
            stopped=stopped,
        )
        counts.add_renewal(renewal)
    else:
        counts = renewal
    if not changes.folders:
        if encoder is not None:
            fit_pending(store)
        parts.merge(store)
    counts.deleted += removed
    with store.read() as txn:
        enabled = parts.is_enabled(txn)
    if enabled and (changes.parts or changes.folders) and not (counts.interrupted or stopped()):
        _fill(store, changes, counts, report, stopped)
    with store.read() as txn:
        card, photos, pending = _card(txn), txn.count("images"), is_pending(txn)
    outgrown = not pending and is_outgrown(card, photos)
    return UpdateReport(counts, photos, card.whitened, outgrown)


def _fill(
    store: Store,
    changes: Changes,
    counts: Counts,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    """Give keys of regions to the photos that have none."""
    start = time.monotonic()
    with store.read() as txn:
        encoder = load_encoder(txn)
    fill(
        store,
        encoder,
        changes.workers,
        lambda done, total, rate: report(Progress(done, total, counts.skipped, rate)),
        stopped,
    )
    counts.interrupted = stopped()
    parts.merge(store)
    counts.seconds += time.monotonic() - start


def configure(store: Store, kind: str | None, recall: float | None) -> None:
    """Choose the kind of FAISS index and its recall: see `Index.configure`. Raises Unsuitable."""
    with store.read() as txn:
        plan, dimension = merging.plan(txn).replace(kind, recall), _card(txn).dimension
    kinds.check(plan, dimension)
    store.write(lambda txn: merging.save_plan(txn, plan))


def _renewal_reason(store: Store, encoder: Encoder) -> str | None:
    """Why every photo needs a new key; None where none does."""
    with store.read() as txn:
        card, photos, pending = _card(txn), txn.count("images"), is_pending(txn)
        intact = is_intact(txn)
    if not intact:
        return "the encoder in the index is damaged"
    if not card.comes_from(encoder.fingerprint):
        return "another encoder"
    if not pending and is_outgrown(card, photos):
        return f"the whitening was fitted on {card.whitened} of these photos"
    return None


def is_outgrown(card: Card, photos: int) -> bool:
    """Whether an index's whitening is fitted on few of its photos, or on none.

    Few means less than half of the photos that it can be fitted on, which are FIT_PHOTOS or all.
    """
    from mocosearch.encoder.refit import FEW

    if card.whitening == OWN and card.fitted_from is None:
        return False
    least = FEW if card.whitening == NOTHING else 2
    return least <= photos and 2 * card.whitened < min(photos, FIT_PHOTOS)


def _card(txn: Txn) -> Card:
    return Card.from_json(bytes(require(txn.get("encoder", b"card"))))


def is_blank(store: Store) -> bool:
    """Whether an index holds no picture, not even a skipped one.

    A new index that ends like this is discarded: it would bind what is indexed there later to its
    encoder, with a whitening that was not fitted on those photos.
    """
    with store.read() as txn:
        skipped = (SkippedFile.from_bytes(value) for _, value in txn.items("refused"))
        return not (txn.count("paths") or any(file.reason for file in skipped))
