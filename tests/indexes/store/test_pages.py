"""Pages that lie in the wrong place, done to a store that is open: what is told of them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from indexes.store import layout, pages
from indexes.store.environment import Store

SIZE = 4096


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A store after many commits: trees of several levels, large values, free pages."""
    folder, rng = tmp_path_factory.mktemp("made") / "store", np.random.default_rng(0)
    store = Store(folder, writable=True)

    def some(txn):
        for key in rng.integers(0, 600, 60):
            txn.put("images", int(key).to_bytes(8, "big"), rng.bytes(int(rng.integers(300))))
        for key in rng.integers(0, 600, 30):
            txn.delete("images", int(key).to_bytes(8, "big"))
        txn.put("segments", bytes([int(rng.integers(3))]), rng.bytes(int(rng.integers(30_000))))

    for _ in range(40):
        store.write(some)
    assert list(pages.faults(store)) == []
    store.close()
    return folder


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made, tmp_path / "store")
    store = Store(tmp_path / "store", writable=False)
    yield store
    store.close()


def entries(store: Store) -> list[tuple[bytes, bytes]]:
    with store.read() as txn:
        return [(bytes(key), bytes(value)) for key, value in txn.items("images")]


def overwrite(store: Store, at: int, what: bytes) -> None:
    with open(store.folder / "data.mdb", "r+b") as file:
        file.seek(at)
        file.write(what)


def test_a_page_over_another_is_told_or_shows_in_no_entry(store):
    """Were it not told and not whole, reading would fail, or end this process."""
    before, whole = entries(store), (store.folder / "data.mdb").read_bytes()
    rng, untold, count = np.random.default_rng(1), 0, len(whole) // SIZE
    for _ in range(1000):
        to, of = (SIZE * int(page) for page in rng.integers(2, count, 2))
        overwrite(store, to, whole[of : of + SIZE])
        told = list(pages.faults(store))
        if not told:
            untold += 1
            assert entries(store) == before
        overwrite(store, to, whole[to : to + SIZE])
    assert 0 < untold < 900


def test_flipped_bits_of_a_page_are_told_or_lead_nowhere_else(store):
    """Any bit of the trees themselves: heads and offsets of pages, and the nodes of branches."""
    whole, rng = (store.folder / "data.mdb").read_bytes(), np.random.default_rng(2)
    for _ in range(1000):
        at = SIZE * int(rng.integers(2, len(whole) // SIZE)) + int(rng.integers(64))
        overwrite(store, at, bytes([whole[at] ^ 1 << int(rng.integers(8))]))
        for fault in pages.faults(store):
            assert "page" in fault
        overwrite(store, at, whole[at : at + 1])


def test_a_lost_commit_is_told(store):
    """LMDB takes the commit before where the last one's number is damaged."""
    at = layout.HEADER.size + layout.META.size + 2 * layout.TREE.size + 8
    last = max((0, SIZE), key=lambda page: store_number(store, page + at))
    overwrite(store, last + at, bytes(8))
    copied = Store(
        Path(shutil.copytree(store.folder, store.folder.parent / "copy")), writable=False
    )
    assert any("lost" in fault for fault in pages.faults(copied))
    copied.close()


def store_number(store: Store, at: int) -> int:
    return int.from_bytes((store.folder / "data.mdb").read_bytes()[at : at + 8], "little")


def test_a_layout_of_another_lmdb_is_left_alone(store):
    overwrite(store, layout.HEADER.size + 4, (2).to_bytes(4, "little"))
    assert list(pages.faults(store)) == []


@pytest.mark.parametrize("page", [0, 1])
def test_free_pages_in_use_are_told(store, page):
    """The next commit would write over them."""
    at = page * SIZE + layout.HEADER.size + layout.META.size
    head = at + 2, at + layout.TREE.size + 2
    whole = (store.folder / "data.mdb").read_bytes()
    overwrite(store, head[0], whole[head[1] : head[1] + layout.TREE.size - 2])
    with store.read() as txn:
        newest = txn.raw.id() == store_number(store, at + 2 * layout.TREE.size + 8)
    assert any("twice" in f for f in pages.faults(store)) == newest
