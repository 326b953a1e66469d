"""What a name or a path stands for: an index or a library."""

import os
from pathlib import Path

from indexes.index import Index
from indexes.reader import Reader
from indexes.store.place import LIBRARY
from mocosearch.home import path_of


def open_reader(name: str | os.PathLike[str], *, writable: bool = False) -> Reader:
    """The index or the library of a name or path: see `Index.open` and `Library.open`."""
    folder = name if isinstance(name, Path) else path_of("indexes", os.fspath(name))
    if (folder / LIBRARY).is_file():
        # A query of an index does not import it.
        from indexes.shards import Library

        return Library.open(folder, writable=writable)
    return Index.open(folder, writable=writable)


def exists(name: str) -> bool:
    """Whether there is an index or a library of this name or at this path."""
    return (path_of("indexes", name) / LIBRARY).is_file() or Index.exists(name)
