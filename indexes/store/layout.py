"""Where values are in an LMDB file, from its bytes alone; every byte read may be damaged.

Layout: LMDB 0.9's mdb.c (MDB_page, MDB_node, MDB_meta, MDB_db), 64-bit.
"""

import struct
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Protocol

HEADER = struct.Struct("<QHHHH")
"""Page number, padding, flags, end of the node offsets, start of the nodes."""
META = struct.Struct("<IIQQ")
TREE = struct.Struct("<IHHQQQQQ")
"""First, in the tree of free pages, the page size; third the depth; last the root page."""
LAST = struct.Struct("<QQ")
NODE = struct.Struct("<HHHH")
OVERFLOW = 4
PAGE_TYPES = 7 | 0x20
BIG, SUBTREE = 1, 2
"""Flags of a node whose value has pages of its own, or is a tree."""
MAGIC, VERSION = 0xBEEFC0DE, 1
PAGE_SIZES = range(512, 65537)


class BrokenPage(Exception):
    """A page that is not what its parent says."""


class Data(Protocol):
    """The file: bytes, or a map of it."""

    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclass(frozen=True)
class Tree:
    """The number of its levels, and the number of its root page."""

    depth: int
    root: int


@dataclass(frozen=True)
class Commit:
    """One of the two newest commits."""

    number: int
    page_size: int
    """Bytes."""
    main: Tree
    """The tree that holds the named databases."""


def commits(data: Data) -> list[Commit]:
    """The two newest commits; none where the layout is not that of LMDB 0.9 on this machine."""
    start = HEADER.size + META.size
    first = data[: start + TREE.size]
    if len(first) < start + TREE.size or sys.byteorder != "little":
        return []
    size: int = TREE.unpack_from(first, start)[0]
    both = [_commit(data, size, number) for number in (0, 1)] if size in PAGE_SIZES else []
    return [commit for commit in both if commit] if all(both) else []


def _commit(data: Data, size: int, number: int) -> Commit | None:
    page, at = _page(data, size, number), HEADER.size
    if len(page) < size or META.unpack_from(page, at)[:2] != (MAGIC, VERSION):
        return None
    at += META.size
    _, commit = LAST.unpack_from(page, at + 2 * TREE.size)
    return Commit(commit, size, _tree(page, at + TREE.size))


def _page(data: Data, size: int, number: int) -> bytes:
    """A page; shorter where the file ends."""
    return data[number * size : (number + 1) * size]


def _tree(page: bytes, at: int) -> Tree:
    fields = TREE.unpack_from(page, at)
    return Tree(fields[2], fields[-1])


def find(data: Data, commit: int, database: bytes, key: bytes) -> tuple[int, int] | None:
    """The offset of a value in the file and its size in bytes, in the state of a commit.

    None where there is no such value, or the commit is older than the two newest. Raises
    BrokenPage.
    """
    try:
        for state in commits(data):
            if state.number == commit:
                return _find(data, state, database, key)
    except (struct.error, IndexError) as error:
        raise BrokenPage from error
    return None


def _find(data: Data, state: Commit, database: bytes, key: bytes) -> tuple[int, int] | None:
    outer = _node(data, state.page_size, state.main, database)
    if outer is None or not _flags(*outer[1:]) & SUBTREE:
        return None
    inner = _node(data, state.page_size, _tree(outer[1], _value(*outer[1:])), key)
    if inner is None:
        return None
    number, page, at = inner
    if not _flags(page, at) & BIG:
        return number * state.page_size + _value(page, at), _size(page, at)
    (number,) = struct.unpack_from("<Q", page, _value(page, at))
    count = -(-(HEADER.size + _size(page, at)) // state.page_size)
    own, _, flags, low, high = HEADER.unpack_from(_page(data, state.page_size, number))
    if (own, flags & PAGE_TYPES, low | high << 16) != (number, OVERFLOW, count):
        raise BrokenPage
    return number * state.page_size + HEADER.size, _size(page, at)


def _node(data: Data, size: int, tree: Tree, key: bytes) -> tuple[int, bytes, int] | None:
    """The leaf that holds a key: its page number, its bytes, and the offset of the node in it."""
    number = tree.root
    for level in range(tree.depth, 0, -1):
        page = _page(data, size, number)
        offsets = _offsets(page)
        keys = [page[at + NODE.size : _value(page, at)] for at in offsets]
        if level == 1:
            index = bisect_left(keys, key)
            return (number, page, offsets[index]) if keys[index : index + 1] == [key] else None
        # The first node of a branch leads to all keys before the second, whatever its own key.
        number = _child(page, offsets[max(bisect_right(keys, key, lo=1) - 1, 0)])
    return None


def _offsets(page: bytes) -> tuple[int, ...]:
    """The offsets of a page's nodes, in the order of their keys."""
    lower: int = HEADER.unpack_from(page)[3]
    return struct.unpack_from(f"<{(lower - HEADER.size) // 2}H", page, HEADER.size)


def _child(page: bytes, at: int) -> int:
    """The page that a node of a branch leads to."""
    low, middle, high, _ = NODE.unpack_from(page, at)
    number: int = low | middle << 16 | high << 32
    return number


def _value(page: bytes, at: int) -> int:
    """The offset of a leaf node's value, after its key."""
    key: int = NODE.unpack_from(page, at)[3]
    return at + NODE.size + key


def _size(page: bytes, at: int) -> int:
    """The size of a leaf node's value, in bytes."""
    low, high, _, _ = NODE.unpack_from(page, at)
    size: int = low | high << 16
    return size


def _flags(page: bytes, at: int) -> int:
    flags: int = NODE.unpack_from(page, at)[2]
    return flags
