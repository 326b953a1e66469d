"""Where values lie in an LMDB file, read from the file itself.

The Python binding touches every page of a value that it is asked for, which would read a whole
FAISS index from the disk for a question that looks at little of it. So this finds a value in the
trees of a snapshot. What it cannot read or does not recognise it leaves to the binding.
Layout: LMDB 0.9's mdb.c (MDB_page, MDB_node, MDB_meta, MDB_db), 64-bit.
"""

import struct
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import BinaryIO

HEADER = struct.Struct("<QHHHH")
"""Number of the page, room in its nodes, flags, end of the offsets, begin of the nodes."""
META = struct.Struct("<IIQQ")
TREE = struct.Struct("<IHHQQQQQ")
"""First, of the free pages, the bytes of a page; third the depth; last the root page."""
LAST = struct.Struct("<QQ")
NODE = struct.Struct("<HHHH")
BRANCH, LEAF, OVERFLOW = 1, 2, 4
KINDS = 7 | 0x20
BIG, SUB = 1, 2
"""Flags of a node whose value lies on pages of its own, or is a tree."""
MAGIC, VERSION = 0xBEEFC0DE, 1
PAGES = range(512, 65537)
"""Bytes that a page may have."""


@dataclass(frozen=True)
class Tree:
    """How many levels it has, and the number of its root page."""

    depth: int
    root: int


@dataclass(frozen=True)
class Commit:
    """One of the two newest commits: its number, the bytes of a page, the last page, the trees."""

    number: int
    size: int
    last: int
    free: Tree
    main: Tree


def commits(file: BinaryIO) -> list[Commit]:
    """The two newest ones; none where the layout is not LMDB 0.9's on this machine."""
    file.seek(0)
    head = HEADER.size + META.size
    first = file.read(head + TREE.size)
    if len(first) < head + TREE.size or sys.byteorder != "little":
        return []
    size: int = TREE.unpack_from(first, head)[0]
    found = [_commit(file, size, number) for number in (0, 1)] if size in PAGES else []
    return [commit for commit in found if commit] if all(found) else []


def _commit(file: BinaryIO, size: int, number: int) -> Commit | None:
    file.seek(number * size)
    page, at = file.read(size), HEADER.size
    if len(page) < size or META.unpack_from(page, at)[:2] != (MAGIC, VERSION):
        return None
    at += META.size
    free, main = (tree(page, at + which * TREE.size) for which in (0, 1))
    last, commit = LAST.unpack_from(page, at + 2 * TREE.size)
    return Commit(commit, size, last, free, main)


def tree(page: bytes, at: int) -> Tree:
    """What is stored of a tree."""
    fields = TREE.unpack_from(page, at)
    return Tree(fields[2], fields[-1])


def offsets(page: bytes) -> tuple[int, ...]:
    """Where in a page its nodes are, in the order of their keys."""
    lower: int = HEADER.unpack_from(page)[3]
    return struct.unpack_from(f"<{(lower - HEADER.size) // 2}H", page, HEADER.size)


def child(page: bytes, at: int) -> int:
    """The page that a node of a branch leads to."""
    low, middle, high, _ = NODE.unpack_from(page, at)
    number: int = low | middle << 16 | high << 32
    return number


def behind(page: bytes, at: int) -> int:
    """Where a leaf's node has its value, behind its key."""
    key: int = NODE.unpack_from(page, at)[3]
    return at + NODE.size + key


def length(page: bytes, at: int) -> int:
    """The bytes of the value of a leaf's node."""
    low, high, _, _ = NODE.unpack_from(page, at)
    count: int = low | high << 16
    return count


def is_big(page: bytes, at: int) -> bool:
    """Whether a leaf's node has its value on pages of its own."""
    return bool(NODE.unpack_from(page, at)[2] & BIG)


def is_tree(page: bytes, at: int) -> bool:
    """Whether the value of a leaf's node is a tree."""
    return bool(NODE.unpack_from(page, at)[2] & SUB)


def begins(page: bytes, number: int, pages: int) -> bool:
    """Whether this page, of that number, is the first of so many of a value."""
    said, _, flags, low, high = HEADER.unpack_from(page)
    return bool((said, flags & KINDS, low | high << 16) == (number, OVERFLOW, pages))


def find(file: BinaryIO, commit: int, database: bytes, key: bytes) -> tuple[int, int] | None:
    """Where a value begins in the file and its bytes, in the state of a commit; None where it is
    not found this way: the commit may be older than the two newest.
    """
    try:
        for state in commits(file):
            if state.number == commit:
                return _find(file, state, database, key)
    except (struct.error, IndexError, OverflowError, OSError):
        return None
    return None


def _find(file: BinaryIO, state: Commit, database: bytes, key: bytes) -> tuple[int, int] | None:
    outer = _node(file, state.size, state.main, database)
    if outer is None or not is_tree(*outer[1:]):
        return None
    inner = _node(file, state.size, tree(outer[1], behind(*outer[1:])), key)
    if inner is None:
        return None
    number, page, at = inner
    count = length(page, at)
    if not is_big(page, at):
        return number * state.size + behind(page, at), count
    (number,) = struct.unpack_from("<Q", page, behind(page, at))
    pages = -(-(HEADER.size + count) // state.size)
    if number + pages > state.last + 1 or not begins(
        _read(file, state.size, number), number, pages
    ):
        return None
    return number * state.size + HEADER.size, count


def _node(file: BinaryIO, size: int, where: Tree, key: bytes) -> tuple[int, bytes, int] | None:
    """The leaf that holds a key: its number, the page, and where in it the node is."""
    number = where.root
    for level in range(where.depth, 0, -1):
        page = _read(file, size, number)
        at = offsets(page)
        keys = [page[place + NODE.size : behind(page, place)] for place in at]
        if level == 1:
            index = bisect_left(keys, key)
            return (number, page, at[index]) if keys[index : index + 1] == [key] else None
        # The first node of a branch leads to all that is before the second, whatever its key.
        number = child(page, at[max(bisect_right(keys, key, lo=1) - 1, 0)])
    return None


def _read(file: BinaryIO, size: int, number: int) -> bytes:
    file.seek(number * size)
    return file.read(size)
