"""From what is asked with to keys: keys as they are, pixels, or pictures in files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexes.search.segments import Keys
from mocosearch.encoder import Encoder
from mocosearch.errors import Mismatch, NotFound, Unreadable
from mocosearch.photos import decode
from mocosearch.photos.decode import Pixels

Paths = Sequence[str | os.PathLike[str]]
Asked = Keys | Pixels | Paths
"""Keys, float (n, d); pixels, uint8 (n, side, side, 3); or n paths of pictures."""


def keys_of(asked: Asked, encoder: Encoder, made_by: Encoder | None = None) -> Keys:
    """Keys, float32 (n, d). Raises Mismatch for another shape or maker, NotFound, Unreadable."""
    check_maker(made_by, encoder)
    if not isinstance(asked, np.ndarray) and len(asked) and all(map(_is_path, asked)):
        return encoder.encode(np.stack([_pixels(path, encoder.side) for path in asked]))
    given = np.asarray(asked)
    if given.dtype == np.uint8:
        shape = (encoder.side, encoder.side, 3)
        if given.shape[1:] != shape:
            raise Mismatch(f"pixels of shape {given.shape} given to an encoder of (n, *{shape})")
        return encoder.encode(given)
    keys = np.ascontiguousarray(given, np.float32)
    dimension = encoder.dimension
    if keys.ndim != 2 or keys.shape[1] != dimension:
        raise Mismatch(f"keys of shape {keys.shape} asked of an index of dimension {dimension}")
    return keys


def check_maker(made_by: Encoder | None, encoder: Encoder) -> None:
    """Raises Mismatch for keys that were made by another encoder than the index's."""
    if made_by is not None and made_by.fingerprint != encoder.fingerprint:
        raise Mismatch(
            f"keys of the encoder {made_by.fingerprint[:12]}, and this index is made with"
            f" {encoder.fingerprint[:12]}",
            "make them with the index's own encoder, whose whitening may be fitted to its photos",
        )


def _is_path(part: Any) -> bool:
    return isinstance(part, str | os.PathLike)


def _pixels(path: Any, side: int) -> Pixels:
    try:
        return decode(Path(path).read_bytes(), side).pixels
    except Unreadable as error:
        raise Unreadable(f"{path}: {error.what}", error.hint) from error
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}", "check the spelling") from error
