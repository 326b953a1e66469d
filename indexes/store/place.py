"""The folder of an index: what is its own in there, and what is not."""

import shutil
from contextlib import suppress
from pathlib import Path

from indexes.store.locks import WriterLock
from mocosearch.errors import Unsuitable

DATA = "data.mdb"
BEGUN = ".generation-"
"""What the folder of a second generation is called, within that of the first."""
OWN = frozenset({DATA, "lock.mdb", "writer.lock", ".next"})


def check_place(folder: Path) -> None:
    """Raises Unsuitable where an index would be made among other files."""
    if not folder.is_dir() or (folder / DATA).exists():
        return
    strange = [path.name for path in folder.iterdir() if not _own(path.name)]
    if strange:
        raise Unsuitable(
            f"{folder} holds {sorted(strange)[0]}, and an index wants a folder of its own",
            "name another one with --index",
        )


def discard(folder: Path) -> None:
    """Remove an index, which need not be whole; whatever else lies in its folder stays, and then
    the folder too. Raises Busy.
    """
    holding = WriterLock(folder)
    try:
        remove(folder)
    finally:
        holding.release()


def remove(folder: Path) -> None:
    """The files of an index, and its folder where nothing else lies in it."""
    for path in [path for path in folder.iterdir() if _own(path.name)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            # Windows lets nobody remove the lock that is held.
            with suppress(PermissionError):
                path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _own(name: str) -> bool:
    return name in OWN or name.startswith(BEGUN)
