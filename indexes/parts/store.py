"""The keys of regions in the store: written, trained, merged and removed."""

from collections.abc import Sequence

import numpy as np

from indexes.parts import codec
from indexes.search import merging, segments
from indexes.search.segments import REGIONS, About
from indexes.store import features
from indexes.store.environment import Store
from indexes.store.features import Features
from indexes.store.records import Ids, id_key, id_of
from indexes.store.txn import Txn
from mocosearch.encoder.regions import REGIONS as LAYOUT

FIT_PHOTOS = 1000
"""Photos whose regions train the codec; fewer at the end of a run."""
OUTGROWN = 4
"""A codec that was trained on fewer photos is replaced when there are so many times as many."""
MOST_BYTES = 1 << 30
"""Of a merged segment; LMDB's values have at most 4 GiB."""
_ENABLED, _FITTED = b"parts", b"parts_fitted"
ABOUT = About(codec.KIND, settings=codec.SETTINGS, recall=0.0)


def is_enabled(txn: Txn) -> bool:
    """Whether photos get keys of regions."""
    return txn.get("meta", _ENABLED) is not None


def enable(txn: Txn) -> None:
    """From now on photos get keys of regions."""
    txn.put("meta", _ENABLED, b"1")


def append(txn: Txn, ids: Sequence[int], some: Features) -> None:
    """Store the regions of new photos, fp16 (n, R, D): as codes, or as they are until the codec is
    trained. ids: ascending.
    """
    trained = codec.load(txn)
    if trained is None:
        features.save(txn, ids, some.reshape(len(some), -1), features.REGIONS)
    else:
        blob = codec.encode(trained, some.reshape(-1, some.shape[-1]))
        segments.put_new(txn, np.asarray(ids, np.uint64), blob, ABOUT, REGIONS)


def waiting(txn: Txn) -> int:
    """How many photos' regions wait for the codec."""
    return len(features.ids(txn, features.REGIONS))


def fit(store: Store) -> None:
    """Train the codec on the regions that wait for it, and make them searchable."""
    with store.read() as txn:
        ids = features.ids(txn, features.REGIONS)
        if not ids:
            return
        rows = features.load(txn, features.REGIONS).reshape(len(ids) * len(LAYOUT), -1)
        present = codec.is_trained(txn)
    trained = None if present else codec.train(rows)

    def change(txn: Txn) -> None:
        if trained is not None:
            codec.save(txn, trained)
            txn.put("meta", _FITTED, str(len(ids)).encode())
        append(txn, ids, rows.reshape(len(ids), len(LAYOUT), -1))
        features.clear(txn, features.REGIONS)

    store.write(change)


def is_outgrown(txn: Txn) -> bool:
    """Whether the codec was trained on few of the photos."""
    fitted = int(bytes(txn.get("meta", _FITTED) or b"0"))
    return 0 < fitted < FIT_PHOTOS and txn.count("images") >= OUTGROWN * fitted


def clear(txn: Txn) -> None:
    """Remove the codec and every key of a region; they are computed again from the photos."""
    for key in list(txn.keys(REGIONS.database)):
        txn.delete(REGIONS.database, key)
    features.clear(txn, features.REGIONS)
    codec.drop(txn)
    txn.delete("meta", _FITTED)


def photos(txn: Txn) -> Ids:
    """The photos whose regions have keys or wait for them, uint64 (n,)."""
    pending = np.array(features.ids(txn, features.REGIONS), np.uint64)
    return np.concatenate([segments.ids_of_all(txn, REGIONS), pending])


def missing(txn: Txn) -> list[int]:
    """The photos without keys of regions, ascending."""
    ids = np.array([id_of(key) for key in txn.keys("images")], np.uint64)
    return [int(id) for id in np.setdiff1d(ids, photos(txn))]


def merge(store: Store, *, everything: bool = False) -> bool:
    """Merge the segments of photos, then those of regions; returns whether any was. Results stay
    the same. Raises Damaged, StorageFailed.
    """
    merged = merging.merge(store, everything=everything)
    return merge_regions(store, everything=True) or merged


def merge_regions(store: Store, *, everything: bool) -> bool:
    """Merge the segments of regions, all of them or those beyond `merging.MOST_SEGMENTS`, and leave
    out deleted photos. Raises Damaged, StorageFailed.
    """
    with store.read() as txn:
        numbers = segments.numbers(txn, REGIONS)
        if not numbers:
            return False
        sizes = {n: len(segments.part(txn, n, b"faiss", space=REGIONS)) for n in numbers}
        numbers = _select(sizes)
        deleted = merging.deleted_ids(txn)
        gone = [id for id in deleted if txn.get("vectors", id_key(int(id))) is None]
        removed = np.array(gone, np.uint64)
        parts = [segments.view(txn, number, REGIONS) for number in numbers]
        masks = [~segments.are_in(part.ids, removed) for part in parts]
        several = len(parts) > 1 and (everything or len(sizes) > merging.MOST_SEGMENTS)
        if not several and all(mask.all() for mask in masks):
            return False
        trained = codec.load(txn)
        ids = np.concatenate([part.ids[mask] for part, mask in zip(parts, masks, strict=True)])
        blob = codec.join(trained, parts, masks) if len(ids) else None
        others = _others(txn, numbers)
        del parts

    def change(txn: Txn) -> None:
        for number in numbers:
            segments.remove(txn, number, REGIONS)
        if blob is not None:
            segments.put_new(txn, ids, blob, ABOUT, REGIONS)
        left = np.concatenate([segments.ids_of_all(txn), others])
        for id in removed[~np.isin(removed, left)]:
            txn.delete("deleted", id_key(int(id)))

    store.write(change)
    return True


def _select(sizes: dict[bytes, int]) -> list[bytes]:
    """The segments to merge, smallest first, as many as fit into one; the others keep the rows of
    deleted photos, which a search masks.
    """
    chosen: list[bytes] = []
    total = 0
    for number in sorted(sizes, key=lambda number: sizes[number]):
        total += sizes[number]
        if total > MOST_BYTES and chosen:
            break
        chosen.append(number)
    return chosen


def _others(txn: Txn, numbers: list[bytes]) -> Ids:
    """The ids of the segments that are not merged."""
    others = [n for n in segments.numbers(txn, REGIONS) if n not in numbers]
    some = [bytes(segments.part(txn, n, b"ids", space=REGIONS)) for n in others]
    return np.frombuffer(b"".join(some), np.uint64)


def repair(txn: Txn) -> None:
    """Drop every key of a region if any is damaged: they are computed again from the photos."""
    numbers = segments.numbers(txn, REGIONS)
    if not all(segments.intact(txn, number, REGIONS) for number in numbers):
        clear(txn)
