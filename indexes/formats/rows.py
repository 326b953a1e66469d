"""The photos of a collection in pieces: ids, keys and records, in one order."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from indexes.search.filters import Where
from indexes.search.segments import Halves
from indexes.search.view import View
from indexes.store.records import Ids
from mocosearch.errors import MissingPackage

AT_ONCE = 10_000
"""Photos of one piece."""


def pieces(view: View, at_once: int = AT_ONCE) -> Iterator[tuple[Ids, Halves]]:
    """The ids (n,) and keys, fp16 (n, d), of all photos by id."""
    ids = view.among(Where())
    for first in range(0, len(ids), at_once):
        some = ids[first : first + at_once]
        yield some, np.concatenate(list(view.read_keys(some)))


def records(view: View, ids: Ids) -> Iterator[dict[str, Any]]:
    """The records of some photos, as plain values with the id."""
    for id in ids:
        yield {"id": int(id), **asdict(view.record(int(id)))}


def printable(text: str) -> str:
    """A path with bytes that are not UTF-8 escaped: other programs' texts are UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def load_pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises MissingPackage."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingPackage("this needs pyarrow", "pip install 'mocosearch[export]'") from error
    return pyarrow, parquet
