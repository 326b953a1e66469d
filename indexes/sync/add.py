"""Some files, or keys made elsewhere, into an index: all of them or none."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from indexes.search import merging
from indexes.search.inputs import check_encoder
from indexes.search.segments import Keys
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.records import id_of
from indexes.store.txn import Txn
from indexes.sync.diff import tidy
from indexes.sync.entries import Batch, commit, present
from mocosearch.encoder import Encoder
from mocosearch.errors import Mismatch, NotFound, Unreadable, Unsuitable
from mocosearch.photos import Facts, FileStat, Photo, read_photos


def add(
    store: Store,
    encoder: Encoder,
    files: Sequence[str | os.PathLike[str]],
    keys: Keys | None = None,
    keys_encoder: Encoder | None = None,
) -> list[int]:
    """Give some files keys, all of them or none; returns their ids. They are searched at once.

    keys: float32 (n, d), made unit length; then no file is read, and a name need not be one's.
    made_by: whose the keys are, where that is to be checked. A later `sync` of a folder above them
    follows the files that are there. Raises NotFound and Unreadable for a file that is no picture,
    Mismatch and Unsuitable for other keys, StorageFailed.
    """
    paths = [roots.absolute(file) for file in files]
    if len(set(paths)) < len(paths):
        raise Unsuitable("a file is named twice", "name each file once")
    check_encoder(keys_encoder, encoder)
    new = _read(paths, encoder) if keys is None else _given(paths, keys, encoder)

    def change(txn: Txn) -> list[int]:
        roots.add(txn, sorted({os.path.dirname(path) for path in paths}))
        commit(txn, new)
        tidy(txn, None)
        return [id_of(present(txn.get("digests", digest))) for _, digest, _ in new.new]

    ids = store.write(change)
    merging.merge(store)
    return ids


def _read(paths: list[str], encoder: Encoder) -> Batch:
    batch = Batch()
    for found, outcome in read_photos([_found(path) for path in paths], encoder.side):
        if not isinstance(outcome, Photo):
            raise Unreadable(f"{found.path}: {outcome or 'not a picture'}")
        batch.keys.append(encoder.encode(outcome.picture.pixels[None]))
        batch.new.append((found, outcome.digest, outcome.picture.facts))
    return batch


def _found(path: str) -> FileStat:
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}", "check the spelling") from error
    return FileStat.of(path, status)


def _given(paths: list[str], keys: Keys, encoder: Encoder) -> Batch:
    keys = np.asarray(keys, np.float32)
    if keys.shape != (len(paths), encoder.dimension):
        raise Mismatch(f"keys of shape {keys.shape} for {len(paths)} names of {encoder.dimension}")
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise Unsuitable("a key without a direction", "each must be finite, and not zero")
    batch = Batch(keys=[keys / lengths] if len(keys) else [])
    for path, key in zip(paths, keys, strict=True):
        content = hashlib.blake2b(os.fsencode(path) + b"\0" + key.tobytes(), digest_size=16)
        batch.new.append((FileStat(path, 0, 0), content.digest(), Facts(0, 0, "")))
    return batch
