"""Bring an index up to date with folders: what is new, changed, moved or gone."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes import chance, merging, roots, segments
from indexes.encoder import settle
from indexes.records import (
    PathEntry,
    Record,
    Refusal,
    id_key,
    id_of,
    keep_next_id,
    next_id,
    path_key,
)
from indexes.roots import Roots
from indexes.segments import Keys
from indexes.store import Store, Txn
from indexes.turns import in_turn
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import OWN
from mocosearch.errors import Damaged, Mismatch, NotFound, Unreadable, Unsuitable
from mocosearch.photos import Content, Facts, Found, LeftOut, Picture, outcomes, scan
from mocosearch.photos.scan import inside, roots_of

if TYPE_CHECKING:
    from indexes.index import Index
    from mocosearch.encoder.refit import Refit

ENCODED_AT_ONCE = 32
COMMITTED_AT_ONCE = 1024
COMMIT_SECONDS = 10.0
"""Photos become visible, and safe from a crash, after so many or so long."""
SAID_SECONDS = 0.2
FITTED_ON = 2048
"""Photos that a whitening is fitted on; all of a collection move no figure further."""


@dataclass
class Counts:
    """What became of the files; without `deleted` they add up to all files found."""

    embedded: int = 0
    unchanged: int = 0
    moved: int = 0
    """Files under a new name whose content had a key already."""
    deleted: int = 0
    refused: int = 0
    not_pictures: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    """A reason for each file refused in this run."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """What was passed over, and the folders that may not be read."""
    absent: list[str] = field(default_factory=list)
    """Folders that are missing or hold no file at all; nothing of theirs was taken out."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` files that need work; `refused` of those so far; files a second."""

    done: int
    total: int
    refused: int
    rate: float


@dataclass
class Seen:
    """What a walk through the folders met."""

    keys: set[bytes] = field(default_factory=set)
    """Of every file's path."""
    roots: list[str] = field(default_factory=list)
    """Those looked through: with any file, as others look like disks that are not mounted."""
    met: set[str] = field(default_factory=set)
    """The roots of which any file was seen."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be looked into."""

    def misses(self, key: bytes, path: str) -> bool:
        """Whether the file is gone, as far as could be seen."""
        return (
            key not in self.keys
            and any(inside(path, root) for root in self.roots)
            and not any(inside(path, folder) for folder in self.unreadable)
        )


@dataclass
class _Batch:
    """What one transaction makes visible."""

    new: list[tuple[Found, bytes, Facts]] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    """Of the new photos, (n, d); features, (n, D), until the whitening is fitted."""
    known: list[tuple[Found, bytes]] = field(default_factory=list)
    refused: list[tuple[Found, str | None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.new) + len(self.known) + len(self.refused)


@in_turn
def sync(
    index: "Index",
    folders: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str] = (),
    retry: bool = False,
    workers: int | None = None,
    prune: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Make the index equal to the folders, as far as they reach; others keep their photos.

    exclude: patterns of names and paths to leave out, as of `scan`; photos that they leave out
    are taken out of the index too.
    retry: read refused files again, though they have not changed.
    workers: processes that decode; one a core if not given.
    prune: believe a known folder that is missing or empty, and take its photos out.
    stopped: asked between batches; once true, what is read so far is committed and the rest
    left for another run.

    Raises NotFound for a missing folder, and StorageFailed; what was committed before stays.
    """
    begun = time.monotonic()
    counts = Counts()
    index.refresh()
    present, counts.absent = present_and_absent(folders, index.roots)
    encoder = index.encoder
    # A snapshot that stays open keeps every page that is freed meanwhile, and the file grows.
    index.refresh()
    index.store.write(lambda txn: roots.add(txn, present))
    seen = Seen(roots=list(present), unreadable=counts.left_out.unreadable)
    files = scan(present, exclude, counts.left_out)
    work = compare(index.store, files, seen, retry, counts)
    # A disk that went away after the first look has not taken its photos with it.
    went = [root for root in present if root not in seen.met and _is_empty(root)]
    seen.roots = [root for root in present if root not in went]
    counts.absent += went
    if prune:
        seen.roots += counts.absent
        counts.absent = []
    embed(index.store, encoder, work, workers, counts, report, stopped)
    counts.interrupted = stopped()
    whole = None if counts.interrupted else seen
    counts.deleted = index.store.write(lambda txn: tidy(txn, whole))
    merging.merge(index.store)
    index.refresh()
    counts.seconds = time.monotonic() - begun
    return counts


@in_turn
def remove(index: "Index", folder: str | os.PathLike[str]) -> int:
    """Take a root, or a folder below one, out of the index; returns how many photos went.

    Raises NotFound where the index knows no such folder, and StorageFailed.
    """
    path = roots.absolute(folder)
    known = index.roots
    if known.number(path) is None and not any(inside(p, path) for p in known.places.values()):
        raise roots.unknown(path, known.places.values())
    index.refresh()
    deleted = index.store.write(lambda txn: tidy(txn, Seen(roots=[path])))
    merging.merge(index.store)
    index.refresh()
    return deleted


@in_turn
def add(
    index: "Index", files: Sequence[str | os.PathLike[str]], keys: Keys | None = None
) -> list[int]:
    """Give some files keys, all of them or none; returns their ids. They are searched at once.

    keys: float32 (n, d), made unit length; then no file is read, and a name need not be one's. A
    later `sync` of a folder above them follows the files that are there. Raises NotFound and
    Unreadable for a file that is no picture, Mismatch and Unsuitable for other keys, StorageFailed.
    """
    paths = [roots.absolute(file) for file in files]
    index.refresh()
    new = _read(paths, index.encoder) if keys is None else _given(paths, keys, index.encoder)
    index.refresh()

    def change(txn: Txn) -> list[int]:
        roots.add(txn, sorted({os.path.dirname(path) for path in paths}))
        _commit(txn, new)
        tidy(txn, None)
        return [id_of(_present(txn.get("digests", digest))) for _, digest, _ in new.new]

    ids = index.store.write(change)
    merging.merge(index.store)
    index.refresh()
    return ids


def _read(paths: list[str], encoder: Encoder) -> _Batch:
    batch = _Batch()
    for found, outcome in outcomes([_found(path) for path in paths], encoder.side):
        if not isinstance(outcome, Content):
            raise Unreadable(f"{found.path}: {outcome or 'not a picture'}")
        batch.keys.append(encoder.encode(outcome.picture.pixels[None]))
        batch.new.append((found, outcome.digest, outcome.picture.facts))
    return batch


def _found(path: str) -> Found:
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}", "check the spelling") from error
    return Found.of(path, status)


def _given(paths: list[str], keys: Keys, encoder: Encoder) -> _Batch:
    keys = np.asarray(keys, np.float32)
    if keys.shape != (len(paths), encoder.dimension):
        raise Mismatch(f"keys of shape {keys.shape} for {len(paths)} names of {encoder.dimension}")
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise Unsuitable("a key without a direction", "each must be finite, and not zero")
    batch = _Batch(keys=[keys / lengths] if len(keys) else [])
    for path, key in zip(paths, keys, strict=True):
        content = hashlib.blake2b(os.fsencode(path) + b"\0" + key.tobytes(), digest_size=16)
        batch.new.append((Found(path, 0, 0), content.digest(), Facts(0, 0, "")))
    return batch


def present_and_absent(
    folders: Sequence[str | os.PathLike[str]], known: Roots
) -> tuple[list[str], list[str]]:
    """The folders with files in them, and those known ones that look as if not mounted."""
    paths = [roots.absolute(folder) for folder in folders]
    missing = [p for p in paths if not os.path.exists(p) and known.number(p) is not None]
    there = roots_of([path for path in paths if path not in missing])
    empty = [path for path in there if _is_empty(path)]
    return [path for path in there if path not in empty], missing + empty


def _is_empty(folder: str) -> bool:
    return next(scan([folder]), None) is None


def compare(
    store: Store, files: Iterable[Found], seen: Seen, retry: bool, counts: Counts
) -> list[Found]:
    """The files that are not as they were last read; `seen` and `counts` take in all of them."""
    work: list[Found] = []
    own = roots.absolute(store.folder)
    unmet = set(seen.roots)
    with store.read() as txn:
        known = Roots.of(txn)
        for found in files:
            if inside(found.path, own):
                continue
            if unmet:
                seen.met |= {root for root in unmet if inside(found.path, root)}
                unmet -= seen.met
            key = path_key(known.stored(found.path))
            seen.keys.add(key)
            entry = txn.get("paths", key)
            if entry is not None and PathEntry.from_bytes(entry).is_still(found):
                counts.unchanged += 1
                continue
            refusal = txn.get("refused", key)
            if refusal is not None:
                past = Refusal.from_bytes(refusal)
                again = retry and past.reason is not None
                if past.is_still(found) and not again:
                    _count_refusal(counts, found, past.reason)
                    continue
            work.append(found)
    return work


def embed(
    store: Store,
    encoder: Encoder,
    work: list[Found],
    workers: int | None,
    counts: Counts,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    """Read, encode and commit; reading goes on in other processes while keys are computed.

    The first photos of an index, where its encoder's whitening was fitted on others, have it
    fitted on a sample of them, which is read first and becomes visible together with it.
    """
    batch = _Batch()
    pictures: list[tuple[Found, bytes, Picture]] = []
    begun = committed_at = time.monotonic()
    refit = _refit(store, encoder)
    if refit is not None:
        work = _sample_first(work, FITTED_ON)

    def progress() -> Progress:
        rate = done / max(time.monotonic() - begun, 1e-9)
        return Progress(done, len(work), counts.refused, rate)

    def known(digest: bytes) -> bool:
        with store.read() as txn:
            return txn.get("digests", digest) is not None

    def encode() -> None:
        if pictures:
            pixels = np.stack([picture.pixels for _, _, picture in pictures])
            batch.keys.append(refit.features(pixels) if refit else encoder.encode(pixels))
            batch.new.extend((found, digest, p.facts) for found, digest, p in pictures)
            pictures.clear()

    def full() -> bool:
        if refit is not None:
            return len(batch.new) >= FITTED_ON
        late = time.monotonic() - committed_at > COMMIT_SECONDS
        return len(batch) >= COMMITTED_AT_ONCE or (late and len(batch) > 0)

    def commit() -> None:
        nonlocal batch, committed_at, encoder, refit
        encode()
        fitted = None
        if refit is not None and batch.keys:
            fitted, keys = refit.fit(np.concatenate(batch.keys))
            batch.keys, encoder, refit = [keys], fitted, None

        def change(txn: Txn) -> None:
            if fitted is not None:
                settle(txn, fitted)
            _commit(txn, batch)

        store.write(change)
        merging.merge(store)
        batch, committed_at = _Batch(), time.monotonic()

    done = 0
    said = begun
    for done, (found, outcome) in enumerate(outcomes(work, encoder.side, workers), 1):  # noqa: B007
        if isinstance(outcome, Content) and known(outcome.digest):
            batch.known.append((found, outcome.digest))
            counts.moved += 1
        elif isinstance(outcome, Content):
            pictures.append((found, outcome.digest, outcome.picture))
            counts.embedded += 1
        else:
            batch.refused.append((found, outcome))
            _count_refusal(counts, found, outcome)
        if len(pictures) == ENCODED_AT_ONCE:
            encode()
        if time.monotonic() - said > SAID_SECONDS:
            report(progress())
            said = time.monotonic()
        if full():
            commit()
        if stopped():
            break
    if pictures or len(batch):
        commit()
    report(progress())


def _refit(store: Store, encoder: Encoder) -> "Refit | None":
    from mocosearch.encoder.refit import Refit

    with store.read() as txn:
        first = txn.count("vectors") == 0
    return Refit(encoder) if first and encoder.card.whitening != OWN else None


def _sample_first(work: list[Found], n: int) -> list[Found]:
    """The same files, n of them from everywhere before the others, and n more behind those, for
    there are some that are no photos.
    """
    chosen = sorted({round(at) for at in np.linspace(0, len(work) - 1, min(2 * n, len(work)))})
    first = [*chosen[::2], *chosen[1::2]]
    held = set(first)
    return [*(work[at] for at in first), *(f for at, f in enumerate(work) if at not in held)]


def _commit(txn: Txn, batch: _Batch) -> None:
    """Write a batch. Contents are looked up again here, where no other writer can be, so that
    two copies in one batch, or two programs at work, end as one photo with two paths.

    Every path gets its new photo before any loses its old one: names may have changed hands.
    """
    id = next_id(txn)
    ids: list[int] = []
    rows: list[Any] = []
    keys: Any = np.concatenate(batch.keys).astype(np.float16) if batch.keys else []
    for (found, digest, facts), key in zip(batch.new, keys, strict=True):
        if txn.get("digests", digest) is None:
            txn.put("digests", digest, id_key(id))
            txn.put("images", id_key(id), Record.of(facts, found.size, digest).to_bytes())
            txn.put("vectors", id_key(id), key.tobytes())
            ids.append(id)
            rows.append(key)
            id += 1
    if ids:
        segments.append(txn, ids, np.stack(rows))
    keep_next_id(txn, id)

    known = Roots.of(txn)
    before = [_attach(txn, found, known, digest) for found, digest, _ in batch.new]
    before += [_attach(txn, found, known, digest) for found, digest in batch.known]
    for entry in before:
        if entry is not None:
            _detach(txn, entry)
    for found, reason in batch.refused:
        path = known.stored(found.path)
        _forget(txn, path_key(path))
        refusal = Refusal(found.size, found.mtime, reason, path, found.changed)
        txn.put("refused", path_key(path), refusal.to_bytes())


def _attach(txn: Txn, found: Found, known: Roots, digest: bytes) -> PathEntry | None:
    """Let a path stand for the photo with this content; returns what it stood for before."""
    path = known.stored(found.path)
    key, id = path_key(path), id_of(_present(txn.get("digests", digest)))
    stored = txn.get("paths", key)
    before = None if stored is None else PathEntry.from_bytes(stored)
    now = PathEntry(id, found.size, found.mtime, path, found.changed)
    txn.put("paths", key, now.to_bytes())
    txn.delete("refused", key)
    if before is not None and before.id == id:
        return None
    record = _record(txn, id)
    record = replace(record, paths=[*record.paths, path])
    txn.put("images", id_key(id), record.to_bytes())
    txn.delete("deleted", id_key(id))
    return before


def _detach(txn: Txn, entry: PathEntry) -> bool:
    """Take a path from its photo; whether it was the last one, and the photo is masked.

    The photo itself stays until the run ends, for its content may turn up elsewhere.
    """
    record = _record(txn, entry.id)
    record = replace(record, paths=[path for path in record.paths if path != entry.path])
    txn.put("images", id_key(entry.id), record.to_bytes())
    if not record.paths:
        txn.put("deleted", id_key(entry.id), b"")
    return not record.paths


def _forget(txn: Txn, key: bytes) -> bool:
    """Take a path out, with its photo or refusal; whether a photo lost its last path."""
    txn.delete("refused", key)
    stored = txn.get("paths", key)
    if stored is None:
        return False
    entry = PathEntry.from_bytes(stored)
    txn.delete("paths", key)
    return _detach(txn, entry)


def tidy(txn: Txn, seen: Seen | None) -> int:
    """End a run: take out the paths that are gone, where all was seen, then the photos without
    a path, and the roots without any. Returns how many photos went with their paths.
    """
    gone = []
    known = Roots.of(txn)
    if seen is not None:
        for key, value in txn.items("paths"):
            if seen.misses(bytes(key), known.path(PathEntry.from_bytes(value).path)):
                gone.append(bytes(key))
        for key, value in txn.items("refused"):
            if seen.misses(bytes(key), known.path(Refusal.from_bytes(value).path)):
                gone.append(bytes(key))
    deleted = sum(_forget(txn, key) for key in gone)
    for masked in [bytes(key) for key, _ in txn.items("deleted")]:
        stored = txn.get("images", masked)
        if stored is not None:
            digest = bytes.fromhex(Record.from_bytes(stored).digest)
            txn.delete("images", masked)
            txn.delete("vectors", masked)
            txn.delete("digests", digest)
    chance.keep(txn)
    if gone:
        _forget_roots(txn, known)
    return deleted


def _forget_roots(txn: Txn, known: Roots) -> None:
    paths = [PathEntry.from_bytes(value).path for _, value in txn.items("paths")]
    paths += [Refusal.from_bytes(value).path for _, value in txn.items("refused")]
    used = {int(path.partition("/")[0]) for path in paths}
    roots.forget(txn, set(known.places) - used)


def _record(txn: Txn, id: int) -> Record:
    return Record.from_bytes(_present(txn.get("images", id_key(id))))


def _present(stored: memoryview | None) -> memoryview:
    if stored is None:
        raise Damaged("the index contradicts itself", "remove it and index again")
    return stored


def _count_refusal(counts: Counts, found: Found, reason: str | None) -> None:
    if reason is None:
        counts.not_pictures += 1
    else:
        counts.refused += 1
        counts.reasons[found.path] = reason
