"""All errors that the library raises on purpose.

The library raises them. The command line prints `what`, then `hint`, and exits with `exit_code`.
Any other exception, except an `OSError`, is a bug.

    MocosearchError
    ├── NotFound        a folder, encoder or index does not exist
    ├── NoPhotos        there are too few readable photos
    ├── Unreadable      a file cannot be decoded
    ├── Mismatch        two parts do not belong together
    ├── Damaged         a stored file is damaged, or has an unknown format
    ├── Diverged        the loss of a training run is NaN or infinite
    ├── ProcessLost     another process of a training run has ended
    ├── Unsuitable      a value is well formed and cannot be used
    ├── StorageFailed   the disk is full, or the folder cannot be written
    ├── MissingPackage  an optional package is not installed
    └── Busy            another program is changing the same index
"""


class MocosearchError(Exception):
    """An error that a user can cause: `what` happened and a `hint` what to do, one line each."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class NotFound(MocosearchError):
    """A folder, encoder or index does not exist."""


class NoPhotos(MocosearchError):
    """There are too few readable photos for what is to be done."""


class Unreadable(MocosearchError):
    """A file cannot be decoded; `what` is the reason, without the file's name."""


class Mismatch(MocosearchError):
    """Two parts do not belong together, such as an index and another encoder."""


class Damaged(MocosearchError):
    """A stored file is damaged, or has an unknown format."""


class Diverged(MocosearchError):
    """The loss of a training run is NaN or infinite, in fp32 too."""


class ProcessLost(MocosearchError):
    """Another process of a training run has ended."""


class Unsuitable(MocosearchError):
    """A value is well formed and cannot be used here."""

    exit_code = 2


class StorageFailed(MocosearchError):
    """The disk is full, or the folder cannot be written."""


class MissingPackage(MocosearchError, ImportError):
    """An optional package is not installed."""


class Busy(MocosearchError):
    """Another program is changing the same index."""
