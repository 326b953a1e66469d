"""Why a file has no picture: its bytes, or a cause outside it that may be gone at the next try."""

import errno
import os

CRASHED = "crashed the decoder"
"""The reader's process ended once. The system may have killed it for memory: this is temporary."""
CRASHES = "crashes the decoder"
"""It also ended in a second attempt, in a new process, and nobody killed it: the bytes are the
cause."""
LATE = "took longer than"
TOO_LARGE = "too large for the memory"
_OUTSIDE = (CRASHED, LATE, TOO_LARGE, "Unknown error")
_SYSTEM_ERRORS = frozenset(os.strerror(number) for number in errno.errorcode)


def reason_of(error: OSError) -> str:
    """The system's words for an error, which `is_temporary` recognises."""
    return error.strerror or str(error)


def is_temporary(reason: str) -> bool:
    """Whether disk, memory, time or permissions were the cause, not the file's bytes.

    An index and a pixel cache read such a file again in the next run; the others only when they
    have changed.
    """
    return reason.startswith(_OUTSIDE) or reason in _SYSTEM_ERRORS
