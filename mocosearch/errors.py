"""Every error that this software raises on purpose, on one page.

A library function raises; the command line prints `what`, then `hint`, and exits with
`exit_code`. Anything that is not one of these (or an `OSError`) is a defect of ours.

    MocosearchError
    ├── NotFound        a folder, an encoder or an index that is not there
    ├── NoPhotos        a collection with too little in it to work with
    ├── Unreadable      one file that cannot become pixels
    ├── Mismatch        two parts that do not belong together
    ├── Damaged         a stored artefact that does not read as it was written
    ├── Diverged        a training run whose numbers have left the finite
    ├── Unsuitable      a value that is well formed and cannot be used
    ├── StorageFailed   the disk is full, or the place cannot be written
    ├── MissingPackage  an optional package that is not installed
    └── Busy            another program is changing the same index
"""


class MocosearchError(Exception):
    """Something a user can cause, said in one line, with the next step in another."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class NotFound(MocosearchError):
    """A folder, an encoder or an index that is not there."""


class NoPhotos(MocosearchError):
    """A collection with too few readable photos for what was asked."""


class Unreadable(MocosearchError):
    """One file that cannot become pixels; `what` is the reason, without the file's name."""


class Mismatch(MocosearchError):
    """Two parts that do not belong together, such as an index and another encoder."""


class Damaged(MocosearchError):
    """A stored artefact that does not read as it was written, or has an unknown format."""


class Diverged(MocosearchError):
    """A training run whose loss is not finite, in fp32 too."""


class Unsuitable(MocosearchError):
    """A value that is well formed and cannot be used here."""

    exit_code = 2


class StorageFailed(MocosearchError):
    """The disk is full, or the place cannot be written."""


class MissingPackage(MocosearchError, ImportError):
    """An optional package that is not installed."""


class Busy(MocosearchError):
    """Another program is changing the same index."""
