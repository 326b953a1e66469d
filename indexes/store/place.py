"""The folder of an index, and which files in it belong to the index."""

import shutil
from contextlib import suppress
from pathlib import Path

from indexes.store.locks import WriterLock
from mocosearch.errors import Unsuitable

DATA = "data.mdb"
LIBRARY = "library.json"
"""In the folder of a library: what it consists of."""
GENERATION = ".generation-"
"""Start of the name of a second generation's folder, inside that of the first."""
THUMBNAILS = ".thumbnails"
"""The folder of `indexes.thumbnails`, inside that of the index."""
MAP = ".map.npz"
"""The file of `indexes.maps`, in the folder of the index; others that start so are parts of one."""
OWN = frozenset({DATA, "lock.mdb", "writer.lock", ".next", THUMBNAILS})


def check_place(folder: Path) -> None:
    """Raises Unsuitable where a new index would share its folder with other files."""
    if not folder.is_dir() or (folder / DATA).exists():
        return
    others = [path.name for path in folder.iterdir() if not _is_own(path.name)]
    if others:
        raise Unsuitable(
            f"{folder} contains {sorted(others)[0]}, and an index needs a folder of its own",
            "name another one with --index",
        )


def discard(folder: Path) -> None:
    """Remove an index, even a damaged one. Other files in its folder stay, and then the folder
    does too. Raises Busy.
    """
    lock = WriterLock(folder)
    try:
        remove(folder)
    finally:
        lock.release()


def remove(folder: Path) -> None:
    """Remove the files of an index, and its folder if that is then empty."""
    for path in [path for path in folder.iterdir() if _is_own(path.name)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            # Windows does not remove a file that is locked.
            with suppress(PermissionError):
                path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _is_own(name: str) -> bool:
    return name in OWN or name.startswith((GENERATION, MAP))
