"""Values that are found in the file equal LMDB's; what cannot be found is left to LMDB."""

import os

import numpy as np
import pytest

from indexes.store import layout
from indexes.store.environment import Store
from indexes.store.txn import Txn

LARGE = b"large"


@pytest.fixture
def store(tmp_path):
    """Trees of several levels, small and large values, many commits."""
    store, rng = Store(tmp_path / "store", writable=True), np.random.default_rng(0)

    def change(txn):
        for key in rng.integers(0, 3000, 300):
            name = os.urandom(int(rng.integers(1, 40))) + int(key).to_bytes(8, "big")
            txn.put("encoder", name, rng.bytes(int(rng.choice([0, 1, 50, 1900, 2100, 9000]))))
        for key in [k for k in txn.keys("encoder") if rng.random() < 0.3]:
            txn.delete("encoder", key)
        txn.put("segments", LARGE, rng.bytes(300_000))

    for _ in range(12):
        store.write(change)
    yield store
    store.close()


@pytest.fixture
def lookups(monkeypatch):
    """The keys that LMDB looks up."""
    get, keys = Txn.get, []

    def record(self, database, key):
        keys.append(key)
        return get(self, database, key)

    monkeypatch.setattr(Txn, "get", record)
    return keys


def test_every_value_is_found(store):
    with store.read() as txn:
        data, checked = (store.folder / "data.mdb").read_bytes(), 0
        for database in ("encoder", "segments"):
            for key, value in txn.items(database):
                place = layout.find(data, txn.raw.id(), database.encode(), bytes(key))
                assert place is not None
                assert data[place[0] : place[0] + place[1]] == value
                checked += 1
        assert checked > 500
        for absent in (b"", b"absent", b"\xff" * 20):
            assert layout.find(data, txn.raw.id(), b"encoder", absent) is None
        assert layout.find(data, txn.raw.id(), b"no such database", LARGE) is None


@pytest.mark.parametrize("whole", [True, False])
def test_a_large_value_is_not_read_by_the_binding(store, lookups, whole):
    with store.read() as txn:
        value = txn.view("segments", LARGE, whole=whole)
        assert lookups == []
        assert value == txn.raw.get(LARGE, db=txn.databases["segments"])
        assert txn.view("segments", b"absent", whole=whole) is None


def test_a_value_stays_the_same_in_a_snapshot(store, lookups):
    """Also when its roots are overwritten by the second commit after it."""
    with store.read() as txn:
        before = bytes(txn.view("segments", LARGE, whole=True))
        view = txn.view("segments", LARGE, whole=False)
        for number in range(4):
            store.write(lambda t, n=number: t.put("segments", LARGE, bytes([n]) * 300_000))
            assert txn.view("segments", LARGE, whole=False) == before == view
        assert LARGE in lookups


def test_a_change_sees_its_own_value(store):
    def change(txn):
        txn.put("segments", LARGE, b"new" * 5000)
        return bytes(txn.view("segments", LARGE, whole=False))

    assert store.write(change) == b"new" * 5000


def test_a_snapshot_reads_a_file_that_was_replaced(store, lookups):
    with store.read() as txn:
        before = bytes(txn.view("segments", LARGE, whole=False))
        data = store.folder / "data.mdb"
        other = data.read_bytes().replace(before[:100], bytes(100))
        data.unlink()
        data.write_bytes(other)
        assert txn.view("segments", LARGE, whole=False) == before
    assert store.follow()
    with store.read() as txn:
        assert txn.view("segments", LARGE, whole=False) == bytes(100) + before[100:]
    assert lookups == []


def test_a_file_that_grows_is_mapped_again(store, lookups):
    with store.read() as txn:
        before, small = txn.view("segments", LARGE, whole=False), len(store.file_map.data())
        copy = bytes(before)
        store.write(lambda t: t.put("segments", b"more", b"m" * 20_000_000))
        with store.read() as later:
            assert later.view("segments", b"more", whole=True) == b"m" * 20_000_000
        assert len(store.file_map.data()) > small
        assert before == copy
    assert lookups == []


def test_damage_leads_to_no_place_outside_the_file(store):
    whole, rng = (store.folder / "data.mdb").read_bytes(), np.random.default_rng(1)
    with store.read() as txn:
        commit = txn.raw.id()
    broken_pages = 0
    for _ in range(300):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 400):
            broken[at] ^= 1 << int(rng.integers(8))
        data = bytes(broken[: int(rng.integers(len(whole)))])
        try:
            place = layout.find(data, commit, b"segments", LARGE)
        except layout.BrokenPage:
            broken_pages += 1
        else:
            assert place is None or place[0] < len(data)
    assert broken_pages > 10
