"""Files that show one picture, and which of them to keep."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from indexes.store.records import Record

BEST_FORMATS = ("TIFF", "PNG", "BMP", "HEIF", "AVIF", "JPEG2000", "WEBP", "JPEG", "MPO", "GIF")
"""The least lossy first; others come last."""


@dataclass(frozen=True)
class Member:
    """One file of a group; `modified` is its time of modification in nanoseconds."""

    path: str
    record: Record
    modified: int = 0


@dataclass(frozen=True)
class Group:
    """Files that show one picture; `score` is the lowest cosine of any two of them.

    name: 8 hexadecimal digits that identify the contents, the same in every run. keep: the member
    to keep; every other one is a copy of it.
    """

    name: str
    score: float
    members: list[Member]
    keep: Member


def rank(member: Member, keep: str) -> tuple[Any, ...]:
    """Lower for the file to keep: `largest`, `oldest` or `best-format`; on a tie the largest, then
    by path.

    The oldest is the one taken first. Files without a time of capture come after those with one,
    by their time of modification.
    """
    record = member.record
    pixels = (-record.width * record.height, -record.size)
    if keep == "oldest":
        return record.taken or "9999", 0 if record.taken else member.modified, pixels, member.path
    if keep == "best-format":
        known = record.format in BEST_FORMATS
        place = BEST_FORMATS.index(record.format) if known else len(BEST_FORMATS)
        return place, pixels, member.path
    return pixels, member.path


def group_name(records: Sequence[Record]) -> str:
    """The name of a group of photos."""
    text = " ".join(sorted(record.digest for record in records))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
