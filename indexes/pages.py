"""Do the pages of an LMDB file lie where they say, each used once?

LMDB believes its pages. One that an older copy of it lies over shows an older state of the index,
whole and without what came after; one that is free and in use is overwritten by a later commit.
So this walks all trees from the snapshot's roots, reads the file alone and never follows what it
has not checked. Layout: LMDB 0.9's lmdb.h and mdb.c (MDB_page, MDB_node, MDB_meta), 64-bit.
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from indexes.place import DATA
from indexes.store import Store

HEADER = struct.Struct("<QHHHH")
"""Number of the page, room in its nodes, flags, end of the offsets, begin of the nodes."""
META = struct.Struct("<IIQQ")
TREE = struct.Struct("<IHHQQQQQ")
"""Of its fields, only the depth, third, and the number of the root page, last, are read here."""
NODE = struct.Struct("<HHHH")
BRANCH, LEAF, OVERFLOW = 1, 2, 4
KINDS = 7 | 0x20
BIG, SUB = 1, 2
"""Flags of a node whose value lies on pages of its own, or is a tree."""
NONE = (1 << 64) - 1
MAGIC, VERSION = 0xBEEFC0DE, 1
TRIES = 20
FREE_FIRST = 2
"""The two pages before are the roots of the last two commits."""


class _Wrong(Exception):
    """What is wrong with a page."""


@dataclass
class _File:
    """The pages of one snapshot, and which of them are accounted for."""

    file: BinaryIO
    size: int
    count: int
    used: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.used = bytearray(self.count)

    def read(self, number: int, pages: int = 1) -> bytes:
        if number + pages > self.count:
            raise _Wrong(f"page {number} is beyond its end")
        self.file.seek(number * self.size)
        return self.file.read(pages * self.size)

    def take(self, number: int, pages: int = 1) -> None:
        if not FREE_FIRST <= number <= self.count - pages:
            raise _Wrong(f"page {number} is beyond its end")
        if any(self.used[number : number + pages]):
            raise _Wrong(f"page {number} is used twice")
        self.used[number : number + pages] = b"\1" * pages


def faults(store: Store) -> Iterator[str]:
    """What is wrong with the pages of the last commit, up to the first that nothing can be said
    beyond; nothing where the layout is one that this cannot read.
    """
    with open(store.folder / DATA, "rb", buffering=0) as file:
        # A snapshot's roots are overwritten by the second commit after it.
        for _ in range(TRIES):
            with store.read() as txn:
                size = store.env.stat()["psize"]
                metas = [_meta(file, size, number) for number in (0, 1)]
                if None in metas:
                    return
                ids = [meta[-1] for meta in metas if meta]
                if txn.raw.id() not in ids:
                    continue
                if abs(ids[0] - ids[1]) > 1:
                    yield "its last commits do not follow each other: one is lost"
                roots = metas[ids.index(txn.raw.id())]
                assert roots is not None
                free, main, last, _ = roots
                try:
                    _walk(_File(file, size, last + 1), free, main)
                except (_Wrong, struct.error, IndexError) as error:
                    said = error if isinstance(error, _Wrong) else "a page is too short"
                    yield f"its pages make no tree: {said}"
                return


_Tree = tuple[int, int]
"""Depth and root page."""


def _meta(file: BinaryIO, size: int, number: int) -> tuple[_Tree, _Tree, int, int] | None:
    """The trees of free pages and of databases, last page and commit; None where this is not
    LMDB's layout on this machine.
    """
    file.seek(number * size)
    page = file.read(size)
    at = HEADER.size
    magic, version, _, _ = META.unpack_from(page, at)
    if (magic, version) != (MAGIC, VERSION) or sys.byteorder != "little":
        return None
    at += META.size
    free, main = (_tree(page, at + number * TREE.size) for number in (0, 1))
    last, commit = struct.unpack_from("<QQ", page, at + 2 * TREE.size)
    return free, main, last, commit


def _tree(page: bytes, at: int) -> _Tree:
    fields = TREE.unpack_from(page, at)
    return fields[2], fields[-1]


def _walk(file: _File, free: _Tree, main: _Tree) -> None:
    unused: list[int] = []
    for page, at in _nodes(file, free):
        number, pages, length = _value(file, page, at)
        value = file.read(number, pages)[HEADER.size :] if pages else page[_behind(page, at) :]
        unused += struct.unpack_from(f"<{length // 8 - 1}Q", value, 8)
    for page, at in _nodes(file, main):
        if NODE.unpack_from(page, at)[2] & SUB:
            for inner, place in _nodes(file, _tree(page, _behind(page, at))):
                _value(file, inner, place)
    for number in unused:
        file.take(number)


def _nodes(file: _File, tree: _Tree) -> Iterator[tuple[bytes, int]]:
    """Every node of a tree's leaves: its page, and where in it."""
    depth, root = tree
    if root == NONE:
        return
    waiting = [(root, depth)]
    while waiting:
        number, level = waiting.pop()
        file.take(number)
        page = file.read(number)
        said, _, flags, lower, _ = HEADER.unpack_from(page)
        if said != number:
            raise _Wrong(f"page {said} lies where page {number} should be")
        if flags & KINDS != (LEAF if level <= 1 else BRANCH):
            raise _Wrong(f"page {number} is of another kind")
        offsets = struct.unpack_from(f"<{(lower - HEADER.size) // 2}H", page, HEADER.size)
        if level <= 1:
            yield from ((page, at) for at in offsets)
            continue
        for at in offsets:
            low, middle, high, _ = NODE.unpack_from(page, at)
            waiting.append((low | middle << 16 | high << 32, level - 1))


def _behind(page: bytes, at: int) -> int:
    """Where a leaf's node has its value, behind its key."""
    key: int = NODE.unpack_from(page, at)[3]
    return at + NODE.size + key


def _value(file: _File, page: bytes, at: int) -> tuple[int, int, int]:
    """The first of the pages that a leaf's value has of its own, how many they are, which is 0 for
    a value in its node, and its bytes.
    """
    low, middle, flags, _ = NODE.unpack_from(page, at)
    length = low | middle << 16
    if not flags & BIG:
        return 0, 0, length
    (number,) = struct.unpack_from("<Q", page, _behind(page, at))
    pages = -(-(HEADER.size + length) // file.size)
    file.take(number, pages)
    said, _, kind, low, high = HEADER.unpack_from(file.read(number))
    if (said, kind & KINDS, low | high << 16) != (number, OVERFLOW, pages):
        raise _Wrong(f"page {number} does not begin a value of {length} bytes")
    return number, pages, length
