"""Groups of near-identical pictures: copies across a whole collection, or of new photos in it."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from indexes.duplicates.groups import Group, Member, named, worth
from indexes.duplicates.ignored import Ignored
from indexes.duplicates.pairs import ROWS, Joined, Pairs, copies
from indexes.duplicates.turned import turned_copies
from indexes.search.copies import (
    COSINE,
    Alike,
    Hashes,
    Rows,
    alike,
    are_copies,
    hashes_of,
    parted,
)
from indexes.search.filters import Where
from indexes.search.nearest import nearest
from indexes.search.segments import Keys
from indexes.search.snapshot import Snapshot
from indexes.store.records import Record
from mocosearch.encoder import Encoder
from mocosearch.photos import FileStat, Picture
from mocosearch.photos.formats import RAW_EXTENSIONS
from mocosearch.photos.scan import inside

NEAREST = 20
_NO_PAIRS = np.empty(0, np.int64), np.empty(0, np.int64)


def groups(
    snapshot: Snapshot,
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
    ids = snapshot.among(where)
    if not len(ids):
        return []
    records = [snapshot.record(int(id)) for id in ids]
    hashes = hashes_of(records)
    turned_ones = turned_copies(records, hashes) if all_ways else _NO_PAIRS
    photos = _Photos(
        records, snapshot.keys(ids), hashes, least, turned_ones, Ignored.of(snapshot.txn)
    )
    gone = set() if changed is None else changed
    made: list[Group] = []
    for rows in photos.sets():
        if len(rows) == 1 and len(records[rows[0]].paths) == 1:
            continue
        files = {row: _files(snapshot, records[row], where.lies_in, gone) for row in rows.tolist()}
        first = {row: min(worth(m, keep) for m in files[row]) for row in files if files[row]}
        order = np.array(sorted(first, key=first.__getitem__), np.int64)
        for part in parted(order, photos.copies_of):
            members = [member for row in sorted(part.tolist()) for member in files[row]]
            if len(members) > 1:
                name = named([records[row] for row in part])
                kept = min(members, key=lambda member: worth(member, keep))
                made.append(Group(name, _lowest(photos.keys[part]), members, kept))
    return sorted(
        (group for group in made if not photos.ignored.copies(group)),
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
    ignored: Ignored

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
        for at in np.flatnonzero(same) if self.ignored.groups else ():
            same[at] = not self.ignored.both(self.records[one], self.records[others[at]])
        return same

    @cached_property
    def partners(self) -> dict[int, list[int]]:
        """Of each row those that show its picture turned."""
        found: dict[int, list[int]] = {}
        for a, b in zip(*(side.tolist() for side in self.turned), strict=True):
            found.setdefault(a, []).append(b)
            found.setdefault(b, []).append(a)
        return found


def _lowest(keys: Keys) -> float:
    """The lowest cosine of any two keys, a part of all at a time: a group may be large."""
    parts = (keys[at : at + ROWS] @ keys.T for at in range(0, len(keys), ROWS))
    return min(1.0, *(float(part.min()) for part in parts))


def _files(
    snapshot: Snapshot, record: Record, wanted: Callable[[str], bool], changed: set[str]
) -> list[Member]:
    """A photo's files that are as they were indexed: links to one file are one."""
    files: dict[tuple[int, int], Member] = {}
    for path in filter(wanted, record.paths):
        status = _still(snapshot, path)
        if status is None:
            changed.add(path)
        else:
            files.setdefault((status.st_dev, status.st_ino), Member(path, record))
    return list(files.values())


def _still(snapshot: Snapshot, path: str) -> os.stat_result | None:
    """Of a file that is as it was indexed: what took its place may be the only one of its kind."""
    entry = snapshot.entry(path)
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status if entry is not None and entry.is_still(FileStat.of(path, status)) else None


def _is_raw(record: Record) -> bool:
    """By its content, or by its name: what is read of it may be the JPEG within."""
    names = (path.lower() for path in record.paths)
    return record.format == "RAW" or any(name.endswith(RAW_EXTENSIONS) for name in names)


def against(
    snapshot: Snapshot,
    encoder: Encoder,
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
    ignored = Ignored.of(snapshot.txn)
    gone = set() if changed is None else changed
    real = [os.path.realpath(folder) for folder in folders]
    for path, size, digest, picture in photos:
        key = encoder.encode(picture.pixels[None])
        new = replace(Record.of(picture.facts, size, digest), paths=[path])
        elsewhere = partial(_stands_elsewhere, new=path, folders=real)
        same = [
            (match, _files(snapshot, match.record, elsewhere, gone))
            for match in nearest(snapshot, key, NEAREST, None)[0]
            if not ignored.both(new, match.record)
            and _is_raw(new) == _is_raw(match.record)
            and (
                match.record.digest == new.digest
                or are_copies(new, match.record, match.score, least)
            )
        ]
        held = [(match, files) for match, files in same if files]
        if held:
            members = [Member(path, new), *(file for _, files in held for file in files)]
            name = named([new, *(match.record for match, _ in held)])
            yield Group(name, min(match.score for match, _ in held), members, kept=members[1])


def _stands_elsewhere(held: str, new: str, folders: Sequence[str]) -> bool:
    """Whether the collection's file is another one, and lies in none of the folders."""
    with suppress(OSError):
        if os.path.samefile(held, new):
            return False
    return not any(inside(os.path.realpath(held), folder) for folder in folders)
