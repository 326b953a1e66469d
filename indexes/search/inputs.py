"""From the inputs of a query to keys: given keys, pixels, or picture files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexes.store.records import Keys
from mocosearch.encoder import Encoder
from mocosearch.errors import Mismatch, NotFound, Unreadable
from mocosearch.photos import decode
from mocosearch.photos.decode import Pixels

PathLike = str | os.PathLike[str]
PathOrPaths = PathLike | Sequence[PathLike]
"""One path, or several."""
Inputs = Keys | Pixels | PathOrPaths
"""Keys, float (n, d); pixels, uint8 (n, side, side, 3); or n paths of pictures, or one."""


def paths_of(paths: PathOrPaths) -> Sequence[PathLike]:
    """A list of paths, also from a single one."""
    return [paths] if isinstance(paths, str | os.PathLike) else paths


def to_keys(inputs: Inputs, encoder: Encoder, keys_encoder: Encoder | None = None) -> Keys:
    """Keys, float32 (n, d), of `encoder`.

    keys_encoder: the one that made given keys. Raises Mismatch for another shape or encoder,
    NotFound, Unreadable.
    """
    check_encoder(keys_encoder, encoder)
    if not isinstance(inputs, np.ndarray):
        paths = paths_of(inputs)
        if len(paths) and all(isinstance(path, str | os.PathLike) for path in paths):
            return encoder.encode(np.stack([_pixels(path, encoder.side) for path in paths]))
    given = np.asarray(inputs)
    if given.dtype == np.uint8:
        shape = (encoder.side, encoder.side, 3)
        if given.shape[1:] != shape:
            raise Mismatch(f"pixels of shape {given.shape} given to an encoder of (n, *{shape})")
        return encoder.encode(given)
    keys = np.ascontiguousarray(given, np.float32)
    check_keys(keys, encoder.dimension)
    return keys


def check_keys(keys: Keys, dimension: int) -> None:
    """Raises Mismatch for keys of another shape than (n, dimension)."""
    if keys.ndim != 2 or keys.shape[1] != dimension:
        raise Mismatch(f"keys of shape {keys.shape} given to an index of dimension {dimension}")


def check_encoder(keys_encoder: Encoder | None, encoder: Encoder) -> None:
    """Raises Mismatch for keys that another encoder than the index's made."""
    if keys_encoder is not None and keys_encoder.fingerprint != encoder.fingerprint:
        raise Mismatch(
            f"the keys come from encoder {keys_encoder.fingerprint[:12]}, the index uses"
            f" {encoder.fingerprint[:12]}",
            "make them with the index's own encoder, whose whitening may be fitted to its photos",
        )


def _pixels(path: Any, side: int) -> Pixels:
    try:
        return decode(Path(path).read_bytes(), side).pixels
    except Unreadable as error:
        raise Unreadable(f"{path}: {error.what}", error.hint) from error
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}", "check the spelling") from error
