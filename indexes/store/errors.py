"""Errors of LMDB and of the system, as errors that say what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from indexes.store.mapsize import no_address_space
from indexes.store.place import DATA
from mocosearch.errors import Damaged, StorageFailed

DAMAGE = (
    *(lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError),
    *(lmdb.PageNotFoundError, lmdb.NotFoundError, lmdb.IncompatibleError, lmdb.PanicError),
)
"""What LMDB raises for a damaged file."""
_CHOOSE = "choose another place with --index PATH or MOCOSEARCH_HOME"
_FREE = "free disk space, then run the same command again: committed photos are safe"


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Raises StorageFailed and Damaged for what LMDB and the system raise about a folder."""
    try:
        yield
    except lmdb.DiskError as error:
        raise StorageFailed(f"cannot write the index at {folder}: {error}", _FREE) from error
    except DAMAGE as error:
        raise Damaged(
            f"the index at {folder} is damaged: {error}", "remove that folder and index again"
        ) from error
    except (lmdb.Error, OSError) as error:
        number = getattr(error, "errno", None)
        text = str(error)
        if number == errno.ENOSPC or "No space left" in text or "File too large" in text:
            raise StorageFailed(f"no disk space left for the index at {folder}", _FREE) from error
        if "mdb_txn_commit: Input/output error" in text:
            # LMDB's word for a write that stopped half-way, as on a disk that becomes full.
            raise StorageFailed(f"cannot write the index at {folder}: {text}", _FREE) from error
        if "Cannot allocate memory" in text:
            raise no_address_space() from error
        if isinstance(error, FileNotFoundError):
            raise StorageFailed(
                f"the index at {folder} has disappeared",
                "mount its disk, or put it back, and run the same command again",
            ) from error
        if isinstance(error, PermissionError) and not os.access(folder / DATA, os.R_OK):
            hint = "check the permissions of the folder and of the files in it"
            raise StorageFailed(f"no permission to read the index at {folder}", hint) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(
            name in text for name in ("Permission denied", "Read-only file system")
        ):
            raise StorageFailed(f"cannot write the index at {folder}: {text}", _CHOOSE) from error
        if "already open in this process" in text:
            hint = "open an index once per process, and not in a fork of one that has it open"
            raise StorageFailed(f"the index at {folder} is open already", hint) from error
        raise StorageFailed(f"cannot use the index at {folder}: {text}", _CHOOSE) from error
