"""Where values lie in an LMDB file, from its bytes alone; no byte is believed.

Layout: LMDB 0.9's mdb.c (MDB_page, MDB_node, MDB_meta, MDB_db), 64-bit.
"""

import struct
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Protocol

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


class Torn(Exception):
    """Pages that lead nowhere; says which, where it is known."""


class Data(Protocol):
    """The file: bytes, or a map of it."""

    def __getitem__(self, part: slice, /) -> bytes: ...


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


def commits(data: Data) -> list[Commit]:
    """The two newest ones; none where the layout is not LMDB 0.9's on this machine."""
    head = HEADER.size + META.size
    first = data[: head + TREE.size]
    if len(first) < head + TREE.size or sys.byteorder != "little":
        return []
    size: int = TREE.unpack_from(first, head)[0]
    found = [_commit(data, size, number) for number in (0, 1)] if size in PAGES else []
    return [commit for commit in found if commit] if all(found) else []


def _commit(data: Data, size: int, number: int) -> Commit | None:
    page, at = pages(data, size, number), HEADER.size
    if len(page) < size or META.unpack_from(page, at)[:2] != (MAGIC, VERSION):
        return None
    at += META.size
    free, main = (tree(page, at + which * TREE.size) for which in (0, 1))
    last, commit = LAST.unpack_from(page, at + 2 * TREE.size)
    return Commit(commit, size, last, free, main)


def pages(data: Data, size: int, number: int, count: int = 1) -> bytes:
    """So many pages from one on; less where the file ends."""
    return data[number * size : (number + count) * size]


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


def extent(page: bytes, at: int, size: int) -> tuple[int, int]:
    """The first of the pages that a leaf's big value has of its own, and how many they are."""
    (number,) = struct.unpack_from("<Q", page, behind(page, at))
    return number, -(-(HEADER.size + length(page, at)) // size)


def begins(page: bytes, number: int, count: int) -> bool:
    """Whether this page, of that number, is the first of so many of a value."""
    said, _, flags, low, high = HEADER.unpack_from(page)
    return bool((said, flags & KINDS, low | high << 16) == (number, OVERFLOW, count))


def find(data: Data, commit: int, database: bytes, key: bytes) -> tuple[int, int] | None:
    """Where a value begins in the file and its bytes, in the state of a commit; None where it is
    not found this way: the commit may be older than the two newest. Raises Torn.
    """
    try:
        for state in commits(data):
            if state.number == commit:
                return _find(data, state, database, key)
    except (struct.error, IndexError) as error:
        raise Torn from error
    return None


def _find(data: Data, state: Commit, database: bytes, key: bytes) -> tuple[int, int] | None:
    outer = _node(data, state.size, state.main, database)
    if outer is None or not is_tree(*outer[1:]):
        return None
    inner = _node(data, state.size, tree(outer[1], behind(*outer[1:])), key)
    if inner is None:
        return None
    number, page, at = inner
    if not is_big(page, at):
        return number * state.size + behind(page, at), length(page, at)
    number, count = extent(page, at, state.size)
    if not begins(pages(data, state.size, number), number, count):
        raise Torn
    return number * state.size + HEADER.size, length(page, at)


def _node(data: Data, size: int, where: Tree, key: bytes) -> tuple[int, bytes, int] | None:
    """The leaf that holds a key: its number, the page, and where in it the node is."""
    number = where.root
    for level in range(where.depth, 0, -1):
        page = pages(data, size, number)
        at = offsets(page)
        keys = [page[place + NODE.size : behind(page, place)] for place in at]
        if level == 1:
            index = bisect_left(keys, key)
            return (number, page, at[index]) if keys[index : index + 1] == [key] else None
        # The first node of a branch leads to all that is before the second, whatever its key.
        number = child(page, at[max(bisect_right(keys, key, lo=1) - 1, 0)])
    return None
