import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from indexes.store import environment as stores
from indexes.store.environment import DATABASES, Store
from indexes.store.place import discard
from mocosearch.errors import Busy, Damaged, StorageFailed


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "index", writable=True)
    yield opened
    opened.close()


def spoil(folder: Path, version: bytes) -> None:
    with lmdb.open(str(folder), max_dbs=len(DATABASES)) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", version, db=meta)


def test_what_is_written_is_read(store):
    store.write(lambda txn: txn.put("images", b"key", b"value"))
    with store.read() as txn:
        assert bytes(txn.get("images", b"key")) == b"value"
        assert txn.get("images", b"other") is None
        assert txn.get("paths", b"key") is None
        assert txn.count("images") == 1
        assert [(bytes(k), bytes(v)) for k, v in txn.items("images")] == [(b"key", b"value")]


def test_deleting(store):
    store.write(lambda txn: txn.put("images", b"key", b"value"))
    assert store.write(lambda txn: txn.delete("images", b"key")) is True
    assert store.write(lambda txn: txn.delete("images", b"key")) is False


def test_items_come_in_the_order_of_their_keys(store):
    for key in (b"b", b"a", b"c"):
        store.write(lambda txn, key=key: txn.put("paths", key, b""))
    with store.read() as txn:
        assert [bytes(k) for k, _ in txn.items("paths")] == [b"a", b"b", b"c"]


def test_a_failed_change_changes_nothing(store):
    def change(txn):
        txn.put("images", b"key", b"value")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        store.write(change)
    with store.read() as txn:
        assert txn.count("images") == 0


def test_a_snapshot_stays_as_it_was(store):
    before = store.begin_read()
    store.write(lambda txn: txn.put("images", b"key", b"value"))
    assert before.count("images") == 0
    before.raw.abort()
    with store.read() as txn:
        assert txn.count("images") == 1


def test_a_full_map_grows_and_the_change_runs_again(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "FIRST_MAP", 1 << 20)
    store = Store(tmp_path / "index", writable=True)
    runs = []

    def change(txn):
        runs.append(1)
        txn.put("vectors", b"key", b"x" * (5 << 20))

    store.write(change)
    assert len(runs) > 1
    with store.read() as txn:
        assert len(txn.get("vectors", b"key")) == 5 << 20
    store.close()


def test_a_map_does_not_grow_under_a_snapshot_of_the_same_program(tmp_path, monkeypatch):
    """It would be gone from under the snapshot, and reading it would end the process."""
    monkeypatch.setattr(stores, "FIRST_MAP", 1 << 20)
    store = Store(tmp_path / "index", writable=True)
    store.write(lambda txn: txn.put("vectors", b"key", b"value"))
    snapshot = store.begin_read()
    with pytest.raises(StorageFailed, match="outgrown"):
        store.write(lambda txn: txn.put("vectors", b"more", b"x" * (5 << 20)))
    assert bytes(snapshot.get("vectors", b"key")) == b"value"
    snapshot.raw.abort()
    store.write(lambda txn: txn.put("vectors", b"more", b"x" * (5 << 20)))
    store.close()


def test_it_opens_again_for_reading(store, tmp_path):
    store.write(lambda txn: txn.put("meta", b"key", b"value"))
    store.close()
    again = Store(tmp_path / "index", writable=False)
    with again.read() as txn:
        assert bytes(txn.get("meta", b"key")) == b"value"
    again.close()


def test_a_reader_writes_nothing(store, tmp_path):
    store.close()
    reader = Store(tmp_path / "index", writable=False)
    with pytest.raises(StorageFailed):
        reader.write(lambda txn: txn.put("meta", b"key", b"value"))
    reader.close()


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("version", [b"0", b"9", b"\xff"])
def test_another_format_is_refused_each_time(store, tmp_path, writable, version):
    store.close()
    spoil(tmp_path / "index", version)
    for _ in range(2):
        with pytest.raises(Damaged, match="format"):
            Store(tmp_path / "index", writable=writable)


@pytest.mark.parametrize("writable", [False, True])
def test_rubbish_is_damage(tmp_path, writable):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "data.mdb").write_bytes(os.urandom(64 << 10))
    with pytest.raises(Damaged):
        Store(tmp_path / "index", writable=writable)


def test_a_place_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed):
        Store(tmp_path / "file" / "index", writable=True)


HOLD = """
import sys
from pathlib import Path
from indexes.store.environment import Store
store = Store(Path(sys.argv[1]), writable=False)
with store.read():
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("writable", [False, True])
def test_a_lock_file_of_the_one_before_is_not_believed(tmp_path, writable):
    """As a replacement leaves it that was killed half way, with a reader of the old one alive."""
    folder = tmp_path / "index"
    store = Store(folder, writable=True)
    for number in range(20):
        store.write(lambda txn, number=number: txn.put("meta", b"key", b"%d" % number))
    store.close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as holding:
        holding.stdout.readline()
        with lmdb.open(str(folder), max_dbs=len(DATABASES)) as env:
            (tmp_path / "copy").mkdir()
            env.copy(str(tmp_path / "copy"), compact=True)
        os.replace(tmp_path / "copy" / "data.mdb", folder / "data.mdb")
        if writable:
            again = Store(folder, writable=True)
            again.write(lambda txn: txn.put("meta", b"more", b"one"))
            with again.read() as txn:
                assert bytes(txn.get("meta", b"key")) == b"19"
            again.close()
        else:
            with pytest.raises(StorageFailed, match="still in use"):
                Store(folder, writable=False)
        holding.communicate()
    last = Store(folder, writable=False)
    with last.read() as txn:
        assert bytes(txn.get("meta", b"key")) == b"19"
    last.close()


def test_places_of_readers_that_were_killed_are_given_again(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "READERS", 2)
    store = Store(tmp_path / "index", writable=True)
    words = [sys.executable, "-c", HOLD, str(tmp_path / "index")]
    for _ in range(2):
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        ) as holding:
            holding.stdout.readline()
            holding.kill()
    with store.read() as txn:
        assert txn.count("images") == 0
    store.close()


FILL = """
import sys
from pathlib import Path
from indexes.store.environment import Store
store = Store(Path(sys.argv[1]), writable=True)
store.write(lambda txn: txn.put("vectors", b"key", b"x" * (5 << 20)))
store.close()
"""


def test_a_reader_goes_on_when_another_program_grows_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "FIRST_MAP", 1 << 20)
    Store(tmp_path / "index", writable=True).close()
    reader = Store(tmp_path / "index", writable=False)
    run = [sys.executable, "-c", FILL, str(tmp_path / "index")]
    subprocess.run(run, check=True, cwd=Path(__file__).parents[3])
    with reader.read() as txn:
        assert len(txn.get("vectors", b"key")) == 5 << 20
    reader.close()


def test_who_waits_for_an_index_that_is_removed_makes_it_anew(tmp_path):
    folder = tmp_path / "index"
    first = Store(folder, writable=True)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(Store, folder, writable=True, wait=True)
        time.sleep(0.3)
        first.discard()
        second = waiting.result(timeout=30)
    assert (folder / "data.mdb").exists()
    with pytest.raises(Busy):
        Store(folder, writable=True)
    second.discard()
    assert not folder.exists()


def test_an_index_that_is_being_changed_is_not_removed(store):
    with pytest.raises(Busy):
        discard(store.folder)
    assert (store.folder / "data.mdb").exists()


def test_what_else_lies_in_its_folder_stays(tmp_path):
    Store(tmp_path / "index", writable=True).close()
    (tmp_path / "index" / "notes.txt").write_text("mine")
    discard(tmp_path / "index")
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("more", [0, 400])
def test_one_that_is_replaced_while_it_is_opened(tmp_path, monkeypatch, more):
    """By a smaller one, as a compaction does, or a larger one."""
    for name, count in (("index", 200), ("other", more)):
        with closing(Store(tmp_path / name, writable=True)) as store:
            for number in range(count):
                store.write(lambda txn, n=number: txn.put("vectors", b"%d" % n, b"x" * 3000))
            store.write(lambda txn, name=name: txn.put("meta", b"name", name.encode()))
    opened, data = Store._open, tmp_path / "other" / "data.mdb"

    def then_replaced(self, lock):
        made = opened(self, lock)
        if data.exists():
            os.replace(data, tmp_path / "index" / "data.mdb")
            (tmp_path / "index" / "lock.mdb").unlink()
        return made

    monkeypatch.setattr(Store, "_open", then_replaced)
    with closing(Store(tmp_path / "index", writable=False)) as store, store.read() as txn:
        assert bytes(txn.get("meta", b"name")) == b"other"
