"""How many copies of each photo there are, and on which disks."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from indexes.search.filters import Where
from indexes.search.view import View
from indexes.store.records import Record
from indexes.sync.diff import load_disks
from mocosearch.photos.scan import upwards


@dataclass(frozen=True)
class Place:
    """What a disk or a root contains.

    path: the root, or where the disk is mounted; of an unplugged disk, where its photos were.
    available: whether any of its files exists now. files: paths with a key. bytes: of those files.
    only_here: photos that have no copy in another place of this kind.
    """

    path: str
    available: bool
    files: int
    photos: int
    bytes: int
    only_here: int


@dataclass(frozen=True)
class Redundancy:
    """The copies of all photos.

    photos: pictures; files of the same content, or of the same size and pixels with other metadata,
    are copies of one. single: a path of each photo that has one file only. unplugged: a path of
    each photo that has no file on a disk that is available. disks and roots: by path.
    """

    photos: int
    single: Sequence[str]
    unplugged: Sequence[str]
    disks: Sequence[Place]
    roots: Sequence[Place]


class _File(NamedTuple):
    path: str
    size: int
    root: str
    disk: str


def redundancy(snapshot: View) -> Redundancy:
    """The copies of all photos of an index: see `Index.redundancy`."""
    roots = snapshot.roots
    disks = dict.fromkeys(disk for part in snapshot.parts for disk in load_disks(part.txn))
    parts = (*disks, *roots.places.values())
    # In the spelling of `upwards`.
    own_disks = {os.path.normcase(part): part for part in parts}
    photos: dict[str, list[_File]] = defaultdict(list)
    for id in snapshot.among(Where()).tolist():
        record = snapshot.record(id)
        for path in record.paths:
            number = roots.number(path)
            assert number is not None
            part = next(own_disks[above] for above in upwards(path) if above in own_disks)
            photos[_picture(record)].append(_File(path, record.size, roots.places[number], part))
    groups = list(photos.values())
    available = _available(file for group in groups for file in group)
    mounts = {part: mount_point(part) if part in available else part for part in parts}
    groups = [[file._replace(disk=mounts[file.disk]) for file in group] for group in groups]
    plugged = {mounts[part] for part in available}
    present_roots = {file.root for group in groups for file in group if file.disk in plugged}
    return Redundancy(
        photos=len(groups),
        single=sorted(group[0].path for group in groups if _is_single(group)),
        unplugged=sorted(
            group[0].path for group in groups if not any(file.disk in plugged for file in group)
        ),
        disks=_places([[(file.disk, file.size) for file in group] for group in groups], plugged),
        roots=_places(
            [[(file.root, file.size) for file in group] for group in groups], present_roots
        ),
    )


def _picture(record: Record) -> str:
    """Equal for files that are copies: the decoded pixels, or the content where the index does not
    have them.
    """
    if not record.pixels or record.truncated:
        return record.digest
    return f"{record.width}x{record.height} {record.pixels}"


def _available(files: Iterable[_File]) -> set[str]:
    """The disks, as they are named in the files, of which any file exists."""
    available: set[str] = set()
    for file in files:
        if file.disk not in available and os.path.exists(file.path):
            available.add(file.disk)
    return available


def mount_point(folder: str) -> str:
    """Where the disk of a folder or file is mounted, links followed."""
    path = os.path.realpath(folder)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def _is_single(group: Sequence[_File]) -> bool:
    """Whether a photo has one file; several links to one file count once."""
    if len(group) == 1:
        return True
    numbers: set[tuple[object, object]] = set()
    for file in group:
        try:
            stat = os.stat(file.path)
        except OSError:
            numbers.add((file.disk, file.path))
        else:
            # Some file systems do not number their files.
            numbers.add((stat.st_dev, stat.st_ino) if stat.st_ino else (file.disk, file.path))
    return len(numbers) == 1


def _places(groups: Sequence[Sequence[tuple[str, int]]], available: set[str]) -> list[Place]:
    """Totals by place; groups: for each photo the place and the size of each of its files."""
    files, sizes, photos, alone = (defaultdict[str, int](int) for _ in range(4))
    for group in groups:
        for place, size in group:
            files[place] += 1
            sizes[place] += size
        names = {place for place, _ in group}
        for place in names:
            photos[place] += 1
            alone[place] += len(names) == 1
    return [
        Place(place, place in available, files[place], photos[place], sizes[place], alone[place])
        for place in sorted(files)
    ]
