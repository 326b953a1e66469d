"""Whether a folder is on a network file system."""

import os
import re
from pathlib import Path

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "davfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.davfs2", "beegfs", "gpfs"}
)
"""File systems whose locks and memory maps work within one computer only; LMDB needs both."""


def network_disk(folder: str | os.PathLike[str], mounts: Path = Path("/proc/mounts")) -> str | None:
    """The network file system that a folder is on; None on a local disk, or if unknown.

    mounts: Linux's list, one line per mount: device, mount point, type.
    """
    path = os.path.realpath(folder)
    try:
        lines = [line.split() for line in mounts.read_bytes().splitlines()]
    except OSError:
        return None
    mounted = [(_unescape(place), kind.decode()) for _, place, kind, *_ in lines]
    around = [(place, kind) for place, kind in mounted if _contains(place, path)]
    kind = max(around, key=lambda mount: len(mount[0]), default=("", ""))[1]
    return kind if kind in NETWORK else None


def _unescape(name: bytes) -> str:
    """The list has spaces and some other characters as octal numbers."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda at: bytes([int(at[1], 8)]), name))


def _contains(place: str, path: str) -> bool:
    return path == place or path.startswith(os.path.join(place, ""))
