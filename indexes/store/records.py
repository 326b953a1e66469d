"""What is stored about a photo and about a path, and its encoding as bytes."""

import hashlib
import json
import struct
import sys
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from indexes.store.txn import Txn
from mocosearch.errors import Damaged
from mocosearch.photos import Facts, FileStat

Keys = NDArray[np.float32]
Ids = NDArray[np.uint64]

_PATH = struct.Struct("<QQqq")
_SKIPPED_FILE = struct.Struct("<QqqB")
_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""How Python represents the bytes of a path as text in this process."""


def to_text(path: str) -> str:
    """A path of this process as it is stored: its bytes as UTF-8, with others as surrogates (PEP
    383). So it is the same file in every locale.
    """
    if _ENCODING[0] == "utf-8":
        return path
    return path.encode(*_ENCODING).decode("utf-8", _ENCODING[1])


def to_path(text: str) -> str:
    """The inverse of `to_text`."""
    if _ENCODING[0] == "utf-8":
        return text
    return _bytes_of(text).decode(*_ENCODING)


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", _ENCODING[1])


def _text_of(data: bytes) -> str:
    return data.decode("utf-8", _ENCODING[1])


def digest(data: bytes | memoryview) -> str:
    """BLAKE2b of a blob, hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def id_key(id: int) -> bytes:
    """8 bytes that sort like the ids."""
    return struct.pack(">Q", id)


def id_of(key: bytes | memoryview) -> int:
    """The id of a key made by `id_key`."""
    return int(struct.unpack(">Q", key)[0])


def next_id(txn: Txn) -> int:
    """The id of the next photo; ids below it are not used again."""
    return int.from_bytes(bytes(txn.get("meta", b"next_id") or b"\1"), "big")


def save_next_id(txn: Txn, id: int) -> None:
    """Store that ids below this one are used."""
    txn.put("meta", b"next_id", id_key(id))


def path_key(path: str) -> bytes:
    """16 bytes for a stored path of any length; LMDB's keys have at most 511."""
    return hashlib.blake2b(_bytes_of(path), digest_size=16).digest()


@dataclass(frozen=True)
class Record:
    """A photo's facts and its paths; files with the same content share one record."""

    width: int
    height: int
    format: str
    taken: str | None
    size: int
    """Bytes of the file."""
    digest: str
    """Of the file's content, hexadecimal."""
    paths: list[str] = field(default_factory=list)
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    truncated: bool = False
    perceptual: str = ""
    pixels: str = ""

    @classmethod
    def of(cls, facts: Facts, size: int, digest: bytes) -> "Record":
        """A record without a path."""
        return cls(**vars(facts), size=size, digest=digest.hex())

    def to_bytes(self) -> bytes:
        """JSON in ASCII, which represents names in broken encodings too."""
        # Not `asdict`, which copies every value: half the time of a commit.
        return json.dumps(vars(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "Record":
        """The inverse of `to_bytes`. Raises Damaged for other data: a page in the place of another
        can hold an entry of the same id.
        """
        try:
            return cls(**json.loads(bytes(data)))
        except (ValueError, TypeError) as error:
            raise Damaged(
                "a photo's record cannot be interpreted",
                "copy the index again from an undamaged one, or remove it and index again",
            ) from error


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A path whose content has a key, with the file's size in bytes and times in nanoseconds as of
    when it was read.
    """

    id: int
    size: int
    mtime: int
    path: str
    changed: int = 0
    """See `FileStat`."""

    def is_unchanged(self, file: FileStat) -> bool:
        """Whether a file has the same size and times as when it was read."""
        return _is_same(self, file)

    def to_bytes(self) -> bytes:
        """Fixed fields, then the path as the system's bytes."""
        fixed = _PATH.pack(self.id, self.size, self.mtime, self.changed)
        return fixed + _bytes_of(self.path)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "PathEntry":
        """The inverse of `to_bytes`."""
        id, size, mtime, changed = _PATH.unpack_from(data)
        return cls(id, size, mtime, _text_of(bytes(data[_PATH.size :])), changed)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A path without a key, and why; `reason` is None for a file that is not a picture."""

    size: int
    mtime: int
    reason: str | None
    path: str
    changed: int = 0

    def is_unchanged(self, file: FileStat) -> bool:
        """See `PathEntry`."""
        return _is_same(self, file)

    def to_bytes(self) -> bytes:
        """Fixed fields, then path and reason with a zero byte between them."""
        reason = b"" if self.reason is None else self.reason.encode(errors="replace")
        fixed = _SKIPPED_FILE.pack(self.size, self.mtime, self.changed, self.reason is not None)
        return fixed + _bytes_of(self.path) + b"\0" + reason

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "SkippedFile":
        """The inverse of `to_bytes`."""
        size, mtime, changed, skipped = _SKIPPED_FILE.unpack_from(data)
        path, _, reason = bytes(data[_SKIPPED_FILE.size :]).partition(b"\0")
        return cls(size, mtime, reason.decode() if skipped else None, _text_of(path), changed)


def _is_same(entry: PathEntry | SkippedFile, file: FileStat) -> bool:
    both_times = entry.changed and file.changed
    alike = (entry.size, entry.mtime) == (file.size, file.mtime)
    return alike and (not both_times or entry.changed == file.changed)
