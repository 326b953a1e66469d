"""What is stored of a photo and of a path, and how it is written down."""

import hashlib
import json
import os
import struct
from dataclasses import asdict, dataclass, field

from indexes.store.txn import Txn
from mocosearch.errors import Damaged
from mocosearch.photos import Facts, FileStat

_PATH = struct.Struct("<QQqq")
_SKIPPED_FILE = struct.Struct("<QqqB")


def digest(data: bytes | memoryview) -> str:
    """BLAKE2b of a blob, hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def id_key(id: int) -> bytes:
    """8 bytes that sort as the ids do."""
    return struct.pack(">Q", id)


def id_of(key: bytes | memoryview) -> int:
    """The id of a key made by `id_key`."""
    return int(struct.unpack(">Q", key)[0])


def next_id(txn: Txn) -> int:
    """The id of the next photo; ids below it are never given again."""
    return int.from_bytes(bytes(txn.get("meta", b"next_id") or b"\1"), "big")


def keep_next_id(txn: Txn, id: int) -> None:
    """Say that ids below this one are given."""
    txn.put("meta", b"next_id", id_key(id))


def path_key(path: str) -> bytes:
    """16 bytes for a path of any length and encoding; LMDB's keys end at 511."""
    return hashlib.blake2b(os.fsencode(path), digest_size=16).digest()


@dataclass(frozen=True)
class Record:
    """A photo's facts and where it lies; several paths with one content are one record."""

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
        """A record that has no path yet."""
        return cls(**asdict(facts), size=size, digest=digest.hex())

    def to_bytes(self) -> bytes:
        """JSON in ASCII, which holds names in broken encodings too."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "Record":
        """The inverse of `to_bytes`. Raises Damaged for what is no record: a page of the file in
        another's place can hold an entry of the same id.
        """
        try:
            return cls(**json.loads(bytes(data)))
        except (ValueError, TypeError) as error:
            raise Damaged(
                "a photo's record makes no sense",
                "copy the index again from where it is whole, or remove it and index again",
            ) from error


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A path whose content has a key: size in bytes, and times in nanoseconds, when read."""

    id: int
    size: int
    mtime: int
    path: str
    changed: int = 0
    """As of `FileStat`."""

    def is_still(self, found: FileStat) -> bool:
        """Whether a file is as it was, as far as the system tells."""
        return _same(self, found)

    def to_bytes(self) -> bytes:
        """Fixed fields, then the path as the system's bytes."""
        fixed = _PATH.pack(self.id, self.size, self.mtime, self.changed)
        return fixed + os.fsencode(self.path)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "PathEntry":
        """The inverse of `to_bytes`."""
        id, size, mtime, changed = _PATH.unpack_from(data)
        return cls(id, size, mtime, os.fsdecode(bytes(data[_PATH.size :])), changed)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A path without a key, and why; `reason` None is a file that is no picture at all."""

    size: int
    mtime: int
    reason: str | None
    path: str
    changed: int = 0

    def is_still(self, found: FileStat) -> bool:
        """As of `PathEntry`."""
        return _same(self, found)

    def to_bytes(self) -> bytes:
        """Fixed fields, then path and reason parted by a zero byte."""
        told = b"" if self.reason is None else self.reason.encode(errors="replace")
        fixed = _SKIPPED_FILE.pack(self.size, self.mtime, self.changed, self.reason is not None)
        return fixed + os.fsencode(self.path) + b"\0" + told

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "SkippedFile":
        """The inverse of `to_bytes`."""
        size, mtime, changed, skipped = _SKIPPED_FILE.unpack_from(data)
        path, _, told = bytes(data[_SKIPPED_FILE.size :]).partition(b"\0")
        return cls(size, mtime, told.decode() if skipped else None, os.fsdecode(path), changed)


def _same(kept: PathEntry | SkippedFile, found: FileStat) -> bool:
    known = kept.changed and found.changed
    alike = (kept.size, kept.mtime) == (found.size, found.mtime)
    return alike and (not known or kept.changed == found.changed)
