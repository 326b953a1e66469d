"""What kind of disk a folder lies on, where that matters."""

import os
import re
from pathlib import Path

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "davfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.davfs2", "beegfs", "gpfs"}
)
"""File systems whose locks and memory maps hold on one computer alone, which LMDB forbids."""


def network_disk(folder: str | os.PathLike[str], mounts: Path = Path("/proc/mounts")) -> str | None:
    """The network file system that a folder lies on; None on a disk, or where none can tell.

    mounts: as Linux lists them, a line each: device, place, type.
    """
    path = os.path.realpath(folder)
    try:
        lines = [line.split() for line in mounts.read_bytes().splitlines()]
    except OSError:
        return None
    told = [(_unescaped(place), kind.decode()) for _, place, kind, *_ in lines]
    held = [(place, kind) for place, kind in told if _holds(place, path)]
    kind = max(held, key=lambda mount: len(mount[0]), default=("", ""))[1]
    return kind if kind in NETWORK else None


def _unescaped(name: bytes) -> str:
    """Spaces and the like stand as octal numbers there."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda at: bytes([int(at[1], 8)]), name))


def _holds(place: str, path: str) -> bool:
    return path == place or path.startswith(os.path.join(place, ""))
