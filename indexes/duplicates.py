"""Groups of near-identical pictures: copies across a whole collection, or of new photos in it."""

import hashlib
import importlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.copies import COSINE, are_copies, hash_of
from indexes.filters import Where
from indexes.index import Index
from indexes.pairs import ROWS, Hashes, Pairs, Rows, copies
from indexes.records import Record
from indexes.segments import Keys
from indexes.store import Txn
from mocosearch.errors import NotFound, Unreadable
from mocosearch.photos import Picture
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
NEAREST = 20


@dataclass(frozen=True)
class Member:
    """One file of a group."""

    path: str
    record: Record


@dataclass(frozen=True)
class Group:
    """Files that show one picture; `score` is the lowest cosine of any two of them.

    name: 8 hexadecimal digits that stand for the contents, the same in every run.
    """

    name: str
    score: float
    members: list[Member]


def groups(
    index: Index, least: float = COSINE, where: Where | None = None, all_ways: bool = False
) -> list[Group]:
    """Copies among the photos of an index, largest group first.

    least: the lowest cosine of two copies; their perceptual hashes must agree too. all_ways:
    also find turned and mirrored copies, by the hash in 8 orientations, confirmed by the
    pictures themselves, which are read for that. Files of one content, other than links to one
    file, are copies; a raw file and a picture made from it are not. What was told to `ignore` is
    left out.
    """
    ids = index.among(where or Where())
    if not len(ids):
        return []
    records = [index.record(int(id)) for id in ids]
    keys = index.keys(ids)
    hashes = hashes_of(records)
    ignored = _ignored(index.txn)
    joined = _Joined(len(ids))
    # A part at a time: what one part joins, the next need not compare.
    found = copies(keys, hashes, least, joined.together)
    if all_ways:
        found = itertools.chain(found, [turned_copies(records, hashes)])
    for left, right in found:
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            # Never by way of a third: of a raw file and what was made from it both stay.
            raw_and_made = _is_raw(records[a].paths) != _is_raw(records[b].paths)
            if not (raw_and_made or _known(ignored, records[a], records[b])):
                joined.join(a, b)
    several = [rows for rows in joined.sets() if len(rows) > 1 or len(records[rows[0]].paths) > 1]
    made = [_group(rows, records, keys, where) for rows in several]
    return sorted(
        (group for group in made if len(group.members) > 1 and not _one_content(ignored, group)),
        key=lambda g: (-len(g.members), g.members[0].path),
    )


def hashes_of(records: Sequence[Record]) -> Hashes:
    """The perceptual hashes as numbers, 0 for none."""
    return np.array([hash_of(record) for record in records], np.uint64)


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
    """Whether two thumbnails are one picture in some orientation; one that is gone is not."""
    if one is None or other is None:
        return False
    return max(float((one * way).mean()) for way in orientations(other)) >= ALIKE


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


class _Joined:
    """Disjoint sets of 0..n-1 (union and find, with paths halved)."""

    def __init__(self, n: int) -> None:
        self.above = np.arange(n)

    def root(self, a: int) -> int:
        above = self.above
        while above[a] != a:
            above[a] = above[above[a]]
            a = int(above[a])
        return a

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self.above[high] = low

    def roots(self, rows: Rows) -> Rows:
        """The roots of many at once."""
        above = self.above[rows]
        while (self.above[above] != above).any():
            above = self.above[above]
        return above

    def together(self, left: Rows, right: Rows) -> NDArray[np.bool_]:
        """Which pairs are in one set."""
        same: NDArray[np.bool_] = self.roots(left) == self.roots(right)
        return same

    def sets(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for a, root in enumerate(self.roots(np.arange(len(self.above))).tolist()):
            found.setdefault(root, []).append(a)
        return list(found.values())


def _group(rows: list[int], records: list[Record], keys: Keys, where: Where | None) -> Group:
    members = [Member(path, records[row]) for row in rows for path in _files(records[row], where)]
    return Group(_name([records[row] for row in rows]), _lowest(keys[rows]), members)


def _lowest(keys: Keys) -> float:
    """The lowest cosine of any two keys, a part of all at a time: a group may be large."""
    parts = (keys[at : at + ROWS] @ keys.T for at in range(0, len(keys), ROWS))
    return min(1.0, *(float(part.min()) for part in parts))


def _files(record: Record, where: Where | None) -> list[str]:
    """A photo's paths, one for each file on the disk: links to one file are one."""
    if len(record.paths) == 1:
        return record.paths
    files: dict[tuple[int, int] | str, str] = {}
    for path in record.paths:
        if where is not None and not where.admits(vars(record) | {"paths": [path]}):
            continue
        try:
            status = os.stat(path)
            files.setdefault((status.st_dev, status.st_ino), path)
        except OSError:
            files.setdefault(path, path)
    return list(files.values())


def _name(records: Sequence[Record]) -> str:
    text = " ".join(sorted(record.digest for record in records))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _is_raw(paths: Sequence[str]) -> bool:
    return any(os.path.splitext(path)[1].lower() in RAW for path in paths)


def against(
    index: Index,
    photos: Iterator[tuple[str, int, bytes, Picture]],
    least: float = COSINE,
    folders: Sequence[str] = (),
) -> Iterator[Group]:
    """The new photos, by path, size, digest and picture, of which the index holds copies.

    folders: where the new photos lie. A group begins with the new file; files below these folders
    are not compared with each other, though the index may hold them, and neither are two names of
    one file. What is gone from the disk, or was told to `ignore`, is left out.
    """
    ignored = _ignored(index.txn)
    real = [os.path.realpath(folder) for folder in folders]
    for path, size, digest, picture in photos:
        key = index.encoder.encode(picture.pixels[None])
        new = Record.of(picture.facts, size, digest)
        held = [
            (match, [p for p in match.record.paths if _stands_elsewhere(p, path, real)])
            for match in index.query(key, NEAREST)[0]
            if not _known(ignored, new, match.record)
            and _is_raw([path]) == _is_raw(match.record.paths)
            and (
                match.record.digest == new.digest
                or are_copies(new, match.record, match.score, least)
            )
        ]
        members = [Member(other, match.record) for match, paths in held for other in paths]
        if members:
            score = min(match.score for match, _ in held)
            name = _name([new, *(match.record for match, _ in held)])
            yield Group(name, score, [Member(path, new), *members])


def _stands_elsewhere(held: str, new: str, folders: Sequence[str]) -> bool:
    """Whether the collection's file is there, is another one, and lies in none of the folders."""
    try:
        same = os.path.samefile(held, new)
    except OSError:
        return False
    return not same and not any(inside(os.path.realpath(held), folder) for folder in folders)


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
