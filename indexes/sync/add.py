"""Add single files, or keys made elsewhere, to an index: all of them or none."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from indexes.parts import store as parts
from indexes.parts.fill import Filling
from indexes.search.inputs import check_encoder
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.records import Keys, id_of
from indexes.store.txn import Txn
from indexes.sync.diff import clean_up
from indexes.sync.entries import Batch, commit, require
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
    """Give some files keys, all of them or none; returns their ids. See `Index.add`.

    keys: float32 (n, d), brought to unit length; then no file is read, and a path need not exist.
    keys_encoder: the encoder that made them, to be checked. Raises NotFound and Unreadable for a
    file that is not a picture, Mismatch and Unsuitable for other keys, StorageFailed.
    """
    paths = [roots.absolute(file) for file in files]
    if len(set(paths)) < len(paths):
        raise Unsuitable("the same file is given twice", "name each file once")
    check_encoder(keys_encoder, encoder)
    batch = _read(store, paths, encoder) if keys is None else _with_keys(paths, keys, encoder)

    def change(txn: Txn) -> list[int]:
        roots.add(txn, sorted({os.path.dirname(path) for path in paths}))
        commit(txn, batch)
        clean_up(txn, None)
        return [id_of(require(txn.get("digests", digest))) for _, digest, _ in batch.new]

    ids = store.write(change)
    parts.merge(store)
    return ids


def _read(store: Store, paths: list[str], encoder: Encoder) -> Batch:
    batch, filling = Batch(), Filling.of(store, encoder)
    for file, result in read_photos([_file_stat(path) for path in paths], encoder.side):
        if not isinstance(result, Photo):
            raise Unreadable(f"{file.path}: {result or 'not a picture'}")
        batch.keys.append(encoder.encode(result.picture.pixels[None]))
        if filling is not None:
            batch.regions.append(filling.features(result.picture.pixels[None]))
        batch.new.append((file, result.digest, result.picture.facts))
    return batch


def _file_stat(path: str) -> FileStat:
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}", "check the spelling") from error
    return FileStat.of(path, status)


def _with_keys(paths: list[str], keys: Keys, encoder: Encoder) -> Batch:
    keys = np.asarray(keys, np.float32)
    if keys.shape != (len(paths), encoder.dimension):
        raise Mismatch(f"keys of shape {keys.shape} for {len(paths)} names of {encoder.dimension}")
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise Unsuitable("a key without a direction", "each key must be finite and not zero")
    batch = Batch(keys=[keys / lengths] if len(keys) else [])
    for path, key in zip(paths, keys, strict=True):
        content = hashlib.blake2b(os.fsencode(path) + b"\0" + key.tobytes(), digest_size=16)
        batch.new.append((FileStat(path, 0, 0), content.digest(), Facts(0, 0, "")))
    return batch
