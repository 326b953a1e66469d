"""What LMDB and the system complain of, as errors that say what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from mocosearch.errors import Damaged, StorageFailed

BROKEN = (
    *(lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError),
    *(lmdb.PageNotFoundError, lmdb.NotFoundError, lmdb.IncompatibleError, lmdb.PanicError),
)
"""What LMDB says of a file that is not as it was written."""
_ELSEWHERE = "choose another place with --index PATH or MOCOSEARCH_HOME"
_ROOM = "free some room, then run the same command again: what was committed is kept"


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """LMDB's and the system's complaints about a place, as errors that say what to do."""
    try:
        yield
    except lmdb.DiskError as error:
        raise StorageFailed(f"cannot write the index at {folder}: {error}", _ROOM) from error
    except BROKEN as error:
        raise Damaged(
            f"the index at {folder} is damaged: {error}", "remove that folder and index again"
        ) from error
    except (lmdb.Error, OSError) as error:
        number = getattr(error, "errno", None)
        text = str(error)
        if number == errno.ENOSPC or "No space left" in text or "File too large" in text:
            raise StorageFailed(f"no room on the disk for the index at {folder}", _ROOM) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(
            name in text for name in ("Permission denied", "Read-only file system")
        ):
            raise StorageFailed(
                f"cannot write the index at {folder}: {text}",
                _ELSEWHERE,
            ) from error
        raise StorageFailed(f"cannot use the index at {folder}: {text}", _ELSEWHERE) from error
