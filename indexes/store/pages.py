"""Do the pages of an LMDB file lie where they say, each used once?

LMDB believes its pages. One that an older copy of it lies over shows an older state of the index,
whole and without what came after; one that is free and in use is overwritten by a later commit.
So this walks all trees from the snapshot's roots, reads the file alone and never follows what it
has not checked.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from indexes.store import layout
from indexes.store.environment import Store
from indexes.store.layout import Commit, Data, Torn, Tree

NONE = (1 << 64) - 1
"""The root of an empty tree."""
TRIES = 20
FIRST = 2
"""The two pages before are those of the last two commits."""


def faults(store: Store) -> Iterator[str]:
    """What is wrong with the pages of the last commit, up to the first that nothing can be said
    beyond; nothing where the layout is one that this cannot read.
    """
    # A commit's roots are overwritten by the second one after it.
    for _ in range(TRIES):
        with store.read() as txn:
            data = store.file_map.data()
            known = {commit.number: commit for commit in layout.commits(data)}
            if not known:
                return
            if txn.raw.id() not in known:
                continue
            if max(known) - min(known) > 1:
                yield "its last commits do not follow each other: one is lost"
            try:
                _walk(_File(data, known[txn.raw.id()]))
            except (Torn, struct.error, IndexError) as error:
                said = error if isinstance(error, Torn) else "a page is too short"
                yield f"its pages make no tree: {said}"
            return


@dataclass
class _File:
    """The pages of one commit, and which of them are accounted for."""

    data: Data
    state: Commit
    used: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.used = bytearray(self.state.last + 1)

    def read(self, number: int, count: int = 1) -> bytes:
        return layout.pages(self.data, self.state.size, number, count)

    def take(self, number: int, count: int = 1) -> None:
        if not FIRST <= number <= len(self.used) - count:
            raise Torn(f"page {number} is beyond its end")
        if any(self.used[number : number + count]):
            raise Torn(f"page {number} is used twice")
        self.used[number : number + count] = b"\1" * count


def _walk(file: _File) -> None:
    unused: list[int] = []
    for page, at in _nodes(file, file.state.free):
        count, (number, pages) = layout.length(page, at), _value(file, page, at)
        begin = layout.HEADER.size if pages else layout.behind(page, at)
        value = file.read(number, pages) if pages else page
        unused += struct.unpack_from(f"<{count // 8 - 1}Q", value, begin + 8)
    for page, at in _nodes(file, file.state.main):
        if layout.is_tree(page, at):
            for inner, place in _nodes(file, layout.tree(page, layout.behind(page, at))):
                _value(file, inner, place)
    for number in unused:
        file.take(number)


def _nodes(file: _File, tree: Tree) -> Iterator[tuple[bytes, int]]:
    """Every node of a tree's leaves: its page, and where in it."""
    waiting = [(tree.root, tree.depth)] if tree.root != NONE else []
    while waiting:
        number, level = waiting.pop()
        file.take(number)
        page = file.read(number)
        said, _, flags, _, _ = layout.HEADER.unpack_from(page)
        if said != number:
            raise Torn(f"page {said} lies where page {number} should be")
        if flags & layout.KINDS != (layout.LEAF if level <= 1 else layout.BRANCH):
            raise Torn(f"page {number} is of another kind")
        for at in layout.offsets(page):
            if level <= 1:
                yield page, at
            else:
                waiting.append((layout.child(page, at), level - 1))


def _value(file: _File, page: bytes, at: int) -> tuple[int, int]:
    """The first of the pages that a leaf's value has of its own, and how many they are: 0 for a
    value in its node.
    """
    if not layout.is_big(page, at):
        return 0, 0
    number, pages = layout.extent(page, at, file.state.size)
    file.take(number, pages)
    if not layout.begins(file.read(number), number, pages):
        count = layout.length(page, at)
        raise Torn(f"page {number} does not begin a value of {count} bytes")
    return number, pages
