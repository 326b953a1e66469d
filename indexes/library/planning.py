"""Planning a library: which files belong to which shard, and the encoder of all of them."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from indexes.library.layout import (
    BLOCK,
    ENCODER,
    MOST_SHARDS,
    Layout,
    ShardPlan,
    check_place,
    is_complete,
    is_library,
    load_layout,
    manifest_path,
    shard_folder,
    shard_name,
)
from indexes.library.manifest import read_manifest, write_manifest
from indexes.search import kinds, merging
from indexes.search.kinds import EXACT_BELOW, Plan, factory_string
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.locks import WriterLock
from indexes.store.records import PathEntry, SkippedFile, path_key
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from indexes.sync.diff import clean_up
from indexes.sync.entries import remove_path
from indexes.sync.fitting import FIT_PHOTOS
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import NOTHING, OWN
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS
from mocosearch.errors import NoPhotos, Unsuitable
from mocosearch.photos import FileStat, Photo, ScanReport, read_photos, scan
from mocosearch.photos.scan import is_within, roots_of

LARGE = 8
"""Files of one size are kept together, up to one shard's share of the files divided by this."""
BATCH = 32
"""Photos of the sample that are encoded at once."""


@dataclass
class PlanReport:
    """What a plan found.

    new, changed: files of the plan. shards: the new shards. skipped: photos of the sample that
    cannot be read, with the reason.
    """

    new: int = 0
    changed: int = 0
    shards: Sequence[ShardPlan] = ()
    sample: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    scan_report: ScanReport = field(default_factory=ScanReport)


@dataclass(frozen=True)
class Request:
    """What is to be planned: see `plan`."""

    photos: Sequence[str | os.PathLike[str]]
    shards: int
    kind: str | None = None
    recall: float | None = None
    exclude: Sequence[str] = ()
    workers: int | None = None


def plan(
    folder: Path,
    request: Request,
    encoder: Encoder | None = None,
    report: Callable[[str, float], None] = lambda what, share: None,
) -> PlanReport:
    """Plan shards for the new and changed photos below some folders; the first plan makes the
    library.

    The first plan fits the encoder's whitening on a random sample of the photos, and fixes encoder,
    kind and recall for all shards. Files of one size go to one shard, so that equal contents do,
    unless many files have that size. A changed photo leaves its old shard at once. Photos that are
    gone stay.

    encoder: for a new library. Raises NotFound for a missing folder, NoPhotos where there is none,
    Unsuitable for a folder with other things or another encoder, Busy, MissingPackage,
    StorageFailed.
    """
    first = not is_library(folder)
    if first:
        check_place(folder)
    places = roots_of(request.photos)
    layout = _first_layout(request, encoder) if first else _later_layout(folder, encoder)
    if layout.next_number + request.shards > MOST_SHARDS:
        raise Unsuitable(
            f"a library has at most {MOST_SHARDS} shards", "merge some: mocosearch library merge"
        )
    with _alone(folder):
        result = PlanReport()
        files, stale = _new_files(folder, layout, places, request, result)
        if first and not files:
            raise NoPhotos("there are no photos to plan", "name a folder with photos")
        if not files:
            return result
        if first:
            assert encoder is not None
            encoder = _fit(encoder, files, request, result, report)
            _save_encoder(encoder, folder)
            kind = _kind(layout.kind, len(files) // request.shards)
            layout = replace(layout, encoder=encoder.fingerprint, kind=kind)
        # First: a plan that is killed after this finds them as new.
        for shard, paths in stale.items():
            _forget(folder, shard, paths)
        shards = _shards(layout, files, request.shards)
        _write(folder, layout, shards, places, request, result)
    return result


def _first_layout(request: Request, encoder: Encoder | None) -> Layout:
    if encoder is None:
        raise Unsuitable("a new library needs an encoder", "name one with --encoder")
    settings = Plan().replace(request.kind, request.recall)
    kinds.check(settings, encoder.dimension)
    return Layout(encoder.fingerprint, settings.kind, settings.recall)


def _later_layout(folder: Path, encoder: Encoder | None) -> Layout:
    own = Encoder.open(folder / ENCODER)
    if encoder is not None and not own.card.comes_from(encoder.fingerprint):
        raise Unsuitable(
            "the library was planned with another encoder", "leave --encoder out, or plan a new one"
        )
    return load_layout(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one program plans or merges at a time. Raises Busy."""
    lock = WriterLock(folder)
    try:
        yield
    finally:
        lock.release()


def _kind(kind: str, photos: int) -> str:
    """The kind of all shards: `auto` would choose another one for each size."""
    return factory_string(kind, photos) if photos >= EXACT_BELOW else kind


def _new_files(
    folder: Path, layout: Layout, places: Sequence[str], request: Request, result: PlanReport
) -> tuple[list[FileStat], dict[str, list[str]]]:
    """The files to plan, and by the complete shard the paths that have changed since."""
    earlier = _earlier_files(folder, layout)
    own = os.path.abspath(folder)
    files: list[FileStat] = []
    stale: dict[str, list[str]] = {}
    for file in scan(places, request.exclude, result.scan_report):
        if is_within(file.path, own):
            continue
        before = earlier.get(_digest(file.path))
        if before is None:
            result.new += 1
        elif before[0] in (0, _state(file)):
            continue
        else:
            result.changed += 1
            stale.setdefault(before[1], []).append(file.path)
        files.append(file)
    return files, stale


def _earlier_files(folder: Path, layout: Layout) -> dict[bytes, tuple[int, str]]:
    """By the digest of a path, what it was like when it was read, and the shard that has it; 0 for
    a file of a shard that is not built, which will be read as it is then.
    """
    earlier: dict[bytes, tuple[int, str]] = {}
    for shard in layout.shards:
        if not is_complete(folder, shard.name):
            for number in shard.numbers:
                for _, file in read_manifest(manifest_path(folder, shard.plan), number):
                    earlier[_digest(file.path)] = 0, shard.name
            continue
        store = Store(shard_folder(folder, shard.name), writable=False)
        with closing(store), store.read() as txn:
            places = Roots.of(txn)
            for database, kind in (("paths", PathEntry), ("refused", SkippedFile)):
                for _, value in txn.items(database):
                    entry = kind.from_bytes(value)
                    state = hash((entry.size, entry.mtime)) or 1
                    earlier[_digest(places.path(entry.path))] = state, shard.name
    return earlier


def _digest(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=12).digest()


def _state(file: FileStat) -> int:
    return hash((file.size, file.mtime)) or 1


def _fit(
    encoder: Encoder,
    files: Sequence[FileStat],
    request: Request,
    result: PlanReport,
    report: Callable[[str, float], None],
) -> Encoder:
    """The encoder with its whitening fitted on a random sample; unchanged where it is fitted."""
    if encoder.card.whitening == OWN:
        return encoder
    from mocosearch.encoder.refit import FEW, Refit

    refit = Refit(encoder)
    # Twice as many, because some are not photos.
    rows = np.random.default_rng(0).permutation(len(files))[: 2 * FIT_PHOTOS]
    sample = [files[row] for row in rows.tolist()]
    features = []
    pixels = []
    for file, outcome in read_photos(sample, encoder.side, request.workers):
        if isinstance(outcome, Photo):
            pixels.append(outcome.picture.pixels)
            result.sample += 1
            report("sample", result.sample / min(FIT_PHOTOS, len(sample)))
        elif outcome is not None:
            result.skipped[file.path] = outcome
        if len(pixels) == BATCH:
            features.append(refit.features(np.stack(pixels)))
            pixels = []
        if result.sample == FIT_PHOTOS:
            break
    if pixels:
        features.append(refit.features(np.stack(pixels)))
    if result.sample < (FEW if encoder.card.whitening == NOTHING else 2):
        raise NoPhotos(
            f"only {result.sample} photos of the sample can be read, too few for the whitening",
            "make an index of them: mocosearch index",
        )
    return refit.fit(np.concatenate(features))[0]


def _save_encoder(encoder: Encoder, folder: Path) -> None:
    target, part = folder / ENCODER, folder / f".{ENCODER}.{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / GRAPH).write_bytes(encoder.graph)
    (part / WEIGHTS).write_bytes(encoder.weights)
    (part / CARD).write_text(encoder.card.to_json())
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _shards(
    layout: Layout, files: Sequence[FileStat], count: int
) -> dict[int, list[tuple[int, FileStat]]]:
    """The files of each new shard with their ids, by its number."""
    which = assign([file.size for file in files], count)
    shards: dict[int, list[tuple[int, FileStat]]] = {}
    for file, shard in zip(files, which, strict=True):
        number = layout.next_number + shard
        some = shards.setdefault(number, [])
        some.append((number * BLOCK + len(some) + 1, file))
    return shards


def assign(sizes: Sequence[int], count: int) -> list[int]:
    """A shard, 0..count-1, for each file by its size in bytes: shards of nearly equal numbers of
    files, and files of one size in one shard, because those of one content have one size.

    Where many files have one size, as those of a camera that does not compress, they are spread.
    """
    values, which, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    most = max(1, len(sizes) // (count * LARGE))
    random = np.random.default_rng(0)
    load = np.zeros(count, np.int64)
    shard_of = np.full(len(values), -1)
    order = random.permutation(len(values))
    for at in order[np.argsort(-counts[order], kind="stable")].tolist():
        if counts[at] <= most:
            shard_of[at] = int(load.argmin())
            load[shard_of[at]] += counts[at]
        else:
            load += -(-int(counts[at]) // count)
    result = shard_of[which]
    spread = np.flatnonzero(result < 0)
    result[spread] = random.permutation(np.arange(len(spread)) % count)
    numbers: list[int] = result.tolist()
    return numbers


def _write(
    folder: Path,
    layout: Layout,
    shards: dict[int, list[tuple[int, FileStat]]],
    places: Sequence[str],
    request: Request,
    result: PlanReport,
) -> None:
    """Write the manifest, then make its shards known."""
    number = 1 + max((shard.plan for shard in layout.shards), default=0)
    write_manifest(manifest_path(folder, number), shards)
    result.shards = [
        ShardPlan(shard_name(n), (n,), number, len(files)) for n, files in sorted(shards.items())
    ]
    around = [place for place in layout.folders if not any(is_within(place, p) for p in places)]
    more = [place for place in places if not any(is_within(place, p) for p in around)]
    replace(
        layout,
        folders=(*around, *more),
        exclude=tuple(request.exclude),
        shards=(*layout.shards, *result.shards),
        next_number=layout.next_number + request.shards,
    ).save(folder)


def _forget(folder: Path, shard: str, paths: Sequence[str]) -> None:
    """Remove changed files from a complete shard."""

    def change(txn: Txn) -> None:
        places = Roots.of(txn)
        for path in paths:
            remove_path(txn, path_key(places.relative(roots.absolute(path))))
        clean_up(txn, None)

    with closing(Store(shard_folder(folder, shard), writable=True)) as store:
        store.write(change)
        merging.merge(store)
