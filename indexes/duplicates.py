"""Groups of near-identical pictures: copies across a whole collection, or of new photos in it."""

import hashlib
import importlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from indexes.copies import COSINE, are_copies
from indexes.filters import Where
from indexes.index import Index
from indexes.pairs import ROWS, Alike, Hashes, Joined, Pairs, Rows, alike, copies, hashes_of, parted
from indexes.records import Record
from indexes.segments import Keys
from indexes.txn import Txn
from mocosearch.errors import NotFound, Unreadable
from mocosearch.photos import Found, Picture
from mocosearch.photos.decode import upright
from mocosearch.photos.perceptual import orientations, turned
from mocosearch.photos.scan import inside

TURNED_BITS = 8
"""Most bits in which a turned copy's hash differs from what is expected of it: the median
shifts, and a quarter turn loses one wave."""
ALIKE = 0.9
"""Least correlation of two turned copies' thumbnails, laid over each other."""
THUMBNAIL = 24
RAW = frozenset(
    {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw"}
)
BEST_FORMATS = ("TIFF", "PNG", "BMP", "HEIF", "AVIF", "JPEG2000", "WEBP", "JPEG", "MPO", "GIF")
"""From the least lossy on; others come last."""
NEAREST = 20
_NO_PAIRS = np.empty(0, np.int64), np.empty(0, np.int64)


@dataclass(frozen=True)
class Member:
    """One file of a group."""

    path: str
    record: Record


@dataclass(frozen=True)
class Group:
    """Files that show one picture; `score` is the lowest cosine of any two of them.

    name: 8 hexadecimal digits that stand for the contents, the same in every run. kept: the
    member to keep, of which each other one is a copy.
    """

    name: str
    score: float
    members: list[Member]
    kept: Member


def groups(
    index: Index,
    least: float = COSINE,
    where: Where | None = None,
    all_ways: bool = False,
    keep: str = "largest",
    changed: set[str] | None = None,
) -> list[Group]:
    """Copies among the photos of an index, largest group first.

    least: the lowest cosine of two copies; their perceptual hashes must agree too. all_ways:
    also find turned and mirrored copies, by the hash in the 7 other orientations, confirmed by
    the pictures themselves, which are read for that. keep: as of `worth`; every member of a group
    is a copy of the one that is kept. changed: gets the paths that are left out, for their files
    are gone, or others than those that were indexed.

    Files of one content, other than links to one file, are copies; a raw file and a picture made
    from it are not. What was told to `ignore` is left out.
    """
    where = where or Where()
    ids = index.among(where)
    if not len(ids):
        return []
    records = [index.record(int(id)) for id in ids]
    hashes = hashes_of(records)
    turned_ones = turned_copies(records, hashes) if all_ways else _NO_PAIRS
    photos = _Photos(records, index.keys(ids), hashes, least, turned_ones, _ignored(index.txn))
    gone = set() if changed is None else changed
    made: list[Group] = []
    for rows in photos.sets():
        if len(rows) == 1 and len(records[rows[0]].paths) == 1:
            continue
        files = {row: _files(index, records[row], where.lies_in, gone) for row in rows.tolist()}
        first = {row: min(worth(m, keep) for m in files[row]) for row in files if files[row]}
        order = np.array(sorted(first, key=first.__getitem__), np.int64)
        for part in parted(order, photos.copies_of):
            members = [member for row in sorted(part.tolist()) for member in files[row]]
            if len(members) > 1:
                name = _name([records[row] for row in part])
                kept = min(members, key=lambda member: worth(member, keep))
                made.append(Group(name, _lowest(photos.keys[part]), members, kept))
    return sorted(
        (group for group in made if not _one_content(photos.ignored, group)),
        key=lambda g: (-len(g.members), g.members[0].path),
    )


@dataclass(frozen=True)
class _Photos:
    """Those of an index, a row each, and what makes copies of two of them."""

    records: list[Record]
    keys: Keys
    hashes: Hashes
    least: float
    turned: Pairs
    ignored: list[Counter[str]]

    def sets(self) -> list[Rows]:
        """Those that copies join, be it by way of others: no copy is outside its set."""
        joined = Joined(len(self.records))
        raw = np.array([_is_raw(record) for record in self.records])
        # A part at a time: what one part joins, the next need not compare.
        found = copies(self.keys, self.hashes, self.least, joined.together)
        for left, right in itertools.chain(found, [self.turned]):
            # Never by way of a third: of a raw file and what was made from it both stay.
            same = raw[left] == raw[right]
            joined.join_all(left[same], right[same])
        return joined.sets()

    def copies_of(self, one: int, others: Rows) -> Alike:
        """Which rows of one set are copies of one of it."""
        same = alike(self.keys, self.hashes, one, others, self.least)
        same |= np.isin(others, self.partners.get(one, []))
        for at in np.flatnonzero(same) if self.ignored else ():
            same[at] = not _known(self.ignored, self.records[one], self.records[others[at]])
        return same

    @cached_property
    def partners(self) -> dict[int, list[int]]:
        """Of each row those that show its picture turned."""
        found: dict[int, list[int]] = {}
        for a, b in zip(*(side.tolist() for side in self.turned), strict=True):
            found.setdefault(a, []).append(b)
            found.setdefault(b, []).append(a)
        return found


def worth(member: Member, keep: str) -> tuple[Any, ...]:
    """Less for what is rather kept: `largest`, `oldest` or `best-format`; on a tie by path."""
    record = member.record
    pixels = (-record.width * record.height, -record.size)
    if keep == "oldest":
        return record.taken or "9999", pixels, member.path
    if keep == "best-format":
        known = record.format in BEST_FORMATS
        place = BEST_FORMATS.index(record.format) if known else len(BEST_FORMATS)
        return place, pixels, member.path
    return pixels, member.path


def turned_copies(records: Sequence[Record], hashes: Hashes) -> Pairs:
    """Pairs i < j that are one picture, the one turned or mirrored; files are read to be sure."""
    known = np.flatnonzero(hashes)
    packed = hashes[known].astype(">u8").view(np.uint8).reshape(-1, 8)
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexBinaryFlat(64)
    index.add(packed)
    pairs: set[tuple[int, int]] = set()
    for bits in turned(np.unpackbits(packed, axis=1)):
        # FAISS finds what differs in less.
        limits, _, rows = index.range_search(np.packbits(bits, axis=1), TURNED_BITS + 1)
        asked = np.repeat(np.arange(len(known)), np.diff(limits.astype(np.int64)))
        pairs |= {(int(a), int(b)) for a, b in zip(known[asked], known[rows], strict=True) if a < b}
    # Each file is read once, however many it may be a copy of.
    small = {row: _thumbnail(records[row]) for row in {row for pair in pairs for row in pair}}
    sure = [(a, b) for a, b in sorted(pairs) if _laid_over(small[a], small[b])]
    both = np.array(sure, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _laid_over(one: Keys | None, other: Keys | None) -> bool:
    """Whether two thumbnails are one picture, turned or mirrored; one that is gone is not.

    Upright, where keys and hashes decide, two photos of one scene would be alike enough.
    """
    if one is None or other is None:
        return False
    return max(float((one * way).mean()) for way in orientations(other)[1:]) >= ALIKE


def _thumbnail(record: Record) -> Keys | None:
    """Grey, with mean 0 and deviation 1, float32 (THUMBNAIL, THUMBNAIL); None if unreadable."""
    try:
        picture = upright(Path(record.paths[0]).read_bytes(), 4 * THUMBNAIL)
    except (OSError, Unreadable):
        return None
    small = picture.convert("L").resize((THUMBNAIL, THUMBNAIL))
    grey: Keys = np.asarray(small, np.float32)
    made: Keys = (grey - grey.mean()) / max(float(grey.std()), 1e-6)
    return made


def _lowest(keys: Keys) -> float:
    """The lowest cosine of any two keys, a part of all at a time: a group may be large."""
    parts = (keys[at : at + ROWS] @ keys.T for at in range(0, len(keys), ROWS))
    return min(1.0, *(float(part.min()) for part in parts))


def _files(
    index: Index, record: Record, wanted: Callable[[str], bool], changed: set[str]
) -> list[Member]:
    """A photo's files that are as they were indexed: links to one file are one."""
    files: dict[tuple[int, int], Member] = {}
    for path in filter(wanted, record.paths):
        status = _still(index, path)
        if status is None:
            changed.add(path)
        else:
            files.setdefault((status.st_dev, status.st_ino), Member(path, record))
    return list(files.values())


def _still(index: Index, path: str) -> os.stat_result | None:
    """Of a file that is as it was indexed: what took its place may be the only one of its kind."""
    entry = index.entry(path)
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status if entry is not None and entry.is_still(Found.of(path, status)) else None


def _name(records: Sequence[Record]) -> str:
    text = " ".join(sorted(record.digest for record in records))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _is_raw(record: Record) -> bool:
    """By its content, or by its name: what is read of it may be the JPEG within."""
    ends = (os.path.splitext(path)[1].lower() for path in record.paths)
    return record.format == "RAW" or any(end in RAW for end in ends)


def against(
    index: Index,
    photos: Iterator[tuple[str, int, bytes, Picture]],
    least: float = COSINE,
    folders: Sequence[str] = (),
    changed: set[str] | None = None,
) -> Iterator[Group]:
    """The new photos, by path, size, digest and picture, of which the index holds copies.

    folders: where the new photos lie. A group begins with the new file; the collection's first one
    is kept. Files below these folders are not compared with each other, though the index may hold
    them, and neither are two names of one file. What was told to `ignore` is left out, and so is
    what goes to `changed`, as of `groups`.
    """
    ignored = _ignored(index.txn)
    gone = set() if changed is None else changed
    real = [os.path.realpath(folder) for folder in folders]
    for path, size, digest, picture in photos:
        key = index.encoder.encode(picture.pixels[None])
        new = replace(Record.of(picture.facts, size, digest), paths=[path])
        elsewhere = partial(_stands_elsewhere, new=path, folders=real)
        same = [
            (match, _files(index, match.record, elsewhere, gone))
            for match in index.query(key, NEAREST)[0]
            if not _known(ignored, new, match.record)
            and _is_raw(new) == _is_raw(match.record)
            and (
                match.record.digest == new.digest
                or are_copies(new, match.record, match.score, least)
            )
        ]
        held = [(match, files) for match, files in same if files]
        if held:
            members = [Member(path, new), *(file for _, files in held for file in files)]
            name = _name([new, *(match.record for match, _ in held)])
            yield Group(name, min(match.score for match, _ in held), members, kept=members[1])


def _stands_elsewhere(held: str, new: str, folders: Sequence[str]) -> bool:
    """Whether the collection's file is another one, and lies in none of the folders."""
    with suppress(OSError):
        if os.path.samefile(held, new):
            return False
    return not any(inside(os.path.realpath(held), folder) for folder in folders)


def ignore(index: Index, names: Sequence[str], found: Sequence[Group]) -> None:
    """Remember that the files of these groups are not copies of each other.

    Raises NotFound for a name that no group has.
    """
    by_name = {group.name: sorted(m.record.digest for m in group.members) for group in found}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise NotFound(f"no group {unknown[0]}", "mocosearch duplicates lists the groups")

    def change(txn: Txn) -> None:
        before = [sorted(known.elements()) for known in _ignored(txn)]
        made = [*before, *(by_name[name] for name in names)]
        txn.put("meta", b"not_copies", json.dumps(made).encode())

    index.store.write(change)
    index.refresh()


def _ignored(txn: Txn) -> list[Counter[str]]:
    """Of each group that was ignored, how many files had each content."""
    stored = txn.get("meta", b"not_copies")
    return [Counter(digests) for digests in json.loads(bytes(stored))] if stored else []


def _known(ignored: list[Counter[str]], a: Record, b: Record) -> bool:
    two = Counter((a.digest, b.digest))
    return any(two <= known for known in ignored)


def _one_content(ignored: list[Counter[str]], group: Group) -> bool:
    """Whether a group is files of one content, no more of them than were ignored together."""
    files = Counter(member.record.digest for member in group.members)
    return len(files) == 1 and any(files <= known for known in ignored)
