"""New photos compared with a collection: which of them it holds, and what shows that."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from indexes.copies.compare import BITS, COSINE, Hashes, are_copies, bits_apart, hash_of, hashes_of
from indexes.copies.detail import Details
from indexes.duplicates.files import is_raw, unchanged_files
from indexes.duplicates.groups import Group, Member, group_name
from indexes.duplicates.ignored import Ignored
from indexes.duplicates.pictures import Thumbnails
from indexes.duplicates.turned import TURNED_BITS
from indexes.search.filters import Where
from indexes.search.nearest import nearest
from indexes.search.view import View
from indexes.store.records import Ids, Keys, Record
from mocosearch.encoder import Encoder
from mocosearch.errors import Unreadable
from mocosearch.photos import Picture
from mocosearch.photos.decode import Pixels, decode_image
from mocosearch.photos.perceptual import orientations, oriented_hashes
from mocosearch.photos.scan import is_within

NEAREST = 20
"""Photos with the most similar keys that are compared with a new one."""
MOST_BY_HASH = 64
"""Photos with a similar hash that are compared with a new one, at most."""
AGREEMENTS = "bytes", "pixels", "appearance"
"""What two copies have in common, the most first: the content of the files, every pixel, or what
the pictures show."""


@dataclass(frozen=True)
class Copy:
    """A photo of the collection that is a copy of a new one.

    files: its files, unchanged since they were indexed. score: the cosine of both keys, of the new
    picture in the orientation of this one. agreement: one of AGREEMENTS. orientation: 0, or, where
    the copy is turned or mirrored, 1 to 7 as of `orientations`.
    """

    files: Sequence[Member]
    score: float
    agreement: str
    orientation: int = 0

    @property
    def record(self) -> Record:
        """The facts of the photo."""
        return self.files[0].record


@dataclass(frozen=True)
class Comparison:
    """A new photo and its copies in the collection, the best one first; none where it has none."""

    new: Member
    copies: Sequence[Copy]

    @property
    def smaller(self) -> bool:
        """Whether every copy has fewer pixels than the new photo."""
        return all(_pixels(copy.record) < _pixels(self.new.record) for copy in self.copies)

    @cached_property
    def group(self) -> Group:
        """The new file and all its copies; the file of the best copy is the one to keep."""
        members = [self.new, *(file for copy in self.copies for file in copy.files)]
        name = group_name([self.new.record, *(copy.record for copy in self.copies)])
        return Group(name, min(copy.score for copy in self.copies), members, members[1])


def compare(
    snapshot: View,
    encoder: Encoder,
    photos: Iterator[tuple[str, int, bytes, Picture]],
    min_score: float = COSINE,
    folders: Sequence[str] = (),
    changed: set[str] | None = None,
) -> Iterator[Comparison]:
    """New photos, by path, size, digest and picture, each with its copies in the index.

    Turned and mirrored copies count. min_score: the lowest cosine of two copies in the same
    orientation. folders: the folders of the new photos. Files below them are not compared with
    each other, even where the index holds them; nor are two names of one file. Ignored pairs are
    left out, and so are the files in `changed`, as of `find.groups`.
    """
    collection = _Collection(snapshot, Ignored.in_view(snapshot), min_score)
    gone = set() if changed is None else changed
    real = [os.path.realpath(folder) for folder in folders]
    for path, size, digest, picture in photos:
        record = replace(Record.of(picture.facts, size, digest), paths=[path])
        new = _New(record, picture.pixels, encoder)
        elsewhere = partial(_is_elsewhere, new=path, folders=real)
        copies = []
        for old, key in collection.candidates(new):
            orientation = collection.orientation(new, old, key)
            if orientation is None:
                continue
            files = unchanged_files(snapshot, old, elsewhere, gone)
            if files:
                score = float(new.key(orientation) @ key)
                copies.append(Copy(files, score, _agreement(record, files[0]), orientation))
        gone |= new.details.unread - {path}
        yield Comparison(Member(path, record), sorted(copies, key=_rank))


class _New:
    """A new photo, with what its copies are recognised by; each is computed when it is used.

    details and thumbnails are its own, so that memory does not grow with the number of photos.
    """

    def __init__(self, record: Record, pixels: Pixels, encoder: Encoder) -> None:
        self.record = record
        self.details, self.thumbnails = Details(), Thumbnails()
        self._pixels, self._encoder = pixels, encoder
        self._keys: dict[int, Keys] = {}

    def key(self, orientation: int) -> Keys:
        """The key (d,) in an orientation, 0 to 7 as of `orientations`."""
        if orientation not in self._keys:
            turned = np.ascontiguousarray(orientations(self._pixels)[orientation])
            self._keys[orientation] = self._encoder.encode(turned[None])[0]
        return self._keys[orientation]

    @cached_property
    def turned_hashes(self) -> Hashes:
        """The hashes of the 7 other orientations, predicted from its own, uint64 (7,)."""
        bits = np.unpackbits(np.array([hash_of(self.record)], ">u8").view(np.uint8))[None]
        packed = [np.packbits(way).view(">u8") for way in oriented_hashes(bits)]
        return np.concatenate(packed).astype(np.uint64)


class _Collection:
    """What new photos are compared with."""

    def __init__(self, snapshot: View, ignored: Ignored, min_score: float) -> None:
        self.snapshot, self.ignored, self.min_score = snapshot, ignored, min_score

    @cached_property
    def hashes(self) -> tuple[Ids, Hashes]:
        """The ids of all photos, and their perceptual hashes."""
        ids = self.snapshot.among(Where())
        hashes = [hashes_of([self.snapshot.record(int(id))]) for id in ids]
        return ids, np.concatenate(hashes) if hashes else np.empty(0, np.uint64)

    def candidates(self, new: _New) -> list[tuple[Record, Keys]]:
        """The photos that may be copies, with their keys (d,): those of equal content, of similar
        keys, and of similar hashes in any orientation.
        """
        same = self.snapshot.id_of(new.record.digest)
        by_key = [match.id for match in nearest(self.snapshot, new.key(0)[None], NEAREST, None)[0]]
        by_hash = self._with_similar_hashes(new)
        ids = list(dict.fromkeys([*([same] if same else []), *by_key, *by_hash]))
        if not ids:
            return []
        keys = self.snapshot.keys(ids)
        return [(self.snapshot.record(id), key) for id, key in zip(ids, keys, strict=True)]

    def _with_similar_hashes(self, new: _New) -> list[int]:
        ids, hashes = self.hashes
        hash = hash_of(new.record)
        if not hash or not len(ids):
            return []
        all_ways = np.concatenate([np.array([hash], np.uint64), new.turned_hashes])
        limits = np.array([BITS] + [TURNED_BITS] * len(new.turned_hashes))
        apart = np.bitwise_count(hashes[None] ^ all_ways[:, None]).astype(int)
        excess = (apart - limits[:, None]).min(0)
        rows = np.flatnonzero((excess <= 0) & (hashes != 0))
        best = rows[np.argsort(excess[rows], kind="stable")[:MOST_BY_HASH]]
        return [int(id) for id in ids[best]]

    def orientation(self, new: _New, old: Record, key: Keys) -> int | None:
        """In which orientation a photo of the collection is a copy of the new one; None where it
        is no copy.
        """
        record = new.record
        if self.ignored.both(record, old) or is_raw(record) != is_raw(old):
            return None
        if old.digest == record.digest:
            return 0
        both_hashes = hash_of(record) != 0 and hash_of(old) != 0
        # Strong blur and small sizes change a key.
        probable = are_copies(record, old, float(new.key(0) @ key), self.min_score) or (
            self.min_score <= COSINE
            and both_hashes
            and bits_apart(record.perceptual, old.perceptual) <= BITS
            and new.thumbnails.same(record, old)
        )
        if probable and new.details.equal(record, old):
            return 0
        apart = np.bitwise_count(new.turned_hashes ^ np.uint64(hash_of(old)))
        if not both_hashes or apart.min() > TURNED_BITS:
            return None
        ways = new.thumbnails.turns(old, record)
        return next((way for way in ways if new.details.equal(old, record, way)), None)


def _agreement(new: Record, old: Member) -> str:
    if new.digest == old.record.digest:
        return "bytes"
    return "pixels" if _have_equal_pixels(new, old) else "appearance"


def _have_equal_pixels(new: Record, old: Member) -> bool:
    """Whether both files are decoded to the same pixels at full size. They are read only where
    their facts say that they may be.
    """
    facts = [(r.pixels, r.width, r.height) for r in (new, old.record)]
    if facts[0] != facts[1] or not new.pixels:
        return False
    longest = max(new.width, new.height)
    try:
        one, other = (
            np.asarray(decode_image(Path(path).read_bytes(), longest))
            for path in (new.paths[0], old.path)
        )
    except (OSError, Unreadable):
        return False
    return np.array_equal(one, other)


def _rank(copy: Copy) -> tuple[int, int, float]:
    return AGREEMENTS.index(copy.agreement), -_pixels(copy.record), -copy.score


def _pixels(record: Record) -> int:
    return math.prod((record.width, record.height))


def _is_elsewhere(old: str, new: str, folders: Sequence[str]) -> bool:
    """Whether the collection's file is another one than the new file, outside the folders."""
    with suppress(OSError):
        if os.path.samefile(old, new):
            return False
    return not any(is_within(os.path.realpath(old), folder) for folder in folders)
