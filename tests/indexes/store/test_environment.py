import mmap
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from indexes.store import environment, layout, mapsize
from indexes.store.environment import DATABASES, Store
from indexes.store.place import discard
from mocosearch.errors import Busy, Damaged, StorageFailed


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "index", writable=True)
    yield opened
    opened.close()


def set_format(folder: Path, version: bytes) -> None:
    with lmdb.open(str(folder), max_dbs=len(DATABASES)) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", version, db=meta)


def test_reading_returns_what_was_written(store):
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


def test_items_are_in_the_order_of_their_keys(store):
    for key in (b"b", b"a", b"c"):
        store.write(lambda txn, key=key: txn.put("paths", key, b""))
    with store.read() as txn:
        assert [bytes(k) for k, _ in txn.items("paths")] == [b"a", b"b", b"c"]


def test_a_failed_change_changes_nothing(store):
    def change(txn):
        txn.put("images", b"key", b"value")
        raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        store.write(change)
    with store.read() as txn:
        assert txn.count("images") == 0


def test_a_snapshot_does_not_change(store):
    before = store.begin_read()
    store.write(lambda txn: txn.put("images", b"key", b"value"))
    assert before.count("images") == 0
    before.raw.abort()
    with store.read() as txn:
        assert txn.count("images") == 1


def test_a_full_map_grows_and_the_change_runs_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mapsize, "FIRST_MAP", 1 << 20)
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
    """The snapshot would lose its memory, and reading it would end the process."""
    monkeypatch.setattr(mapsize, "FIRST_MAP", 1 << 20)
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
def test_another_format_fails_each_time(store, tmp_path, writable, version):
    store.close()
    set_format(tmp_path / "index", version)
    for _ in range(2):
        with pytest.raises(Damaged, match="format"):
            Store(tmp_path / "index", writable=writable)


@pytest.mark.parametrize("writable", [False, True])
def test_random_bytes_are_damage(tmp_path, writable):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "data.mdb").write_bytes(os.urandom(64 << 10))
    with pytest.raises(Damaged):
        Store(tmp_path / "index", writable=writable)


def test_a_folder_that_cannot_be_created(tmp_path):
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
def test_the_lock_file_of_an_earlier_environment_is_not_used(tmp_path, writable):
    """A replacement that was killed half-way leaves it, while a program reads the old data."""
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
    ) as reader:
        reader.stdout.readline()
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
        reader.communicate()
    last = Store(folder, writable=False)
    with last.read() as txn:
        assert bytes(txn.get("meta", b"key")) == b"19"
    last.close()


def test_the_slots_of_killed_readers_are_reused(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "READERS", 2)
    store = Store(tmp_path / "index", writable=True)
    words = [sys.executable, "-c", HOLD, str(tmp_path / "index")]
    for _ in range(2):
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        ) as reader:
            reader.stdout.readline()
            reader.kill()
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


def test_a_reader_continues_when_another_program_grows_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mapsize, "FIRST_MAP", 1 << 20)
    Store(tmp_path / "index", writable=True).close()
    reader = Store(tmp_path / "index", writable=False)
    run = [sys.executable, "-c", FILL, str(tmp_path / "index")]
    subprocess.run(run, check=True, cwd=Path(__file__).parents[3])
    with reader.read() as txn:
        assert len(txn.get("vectors", b"key")) == 5 << 20
    reader.close()


def test_waiting_for_an_index_that_is_removed_creates_it_again(tmp_path):
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


def test_discarding_fails_while_a_program_changes_the_index(store):
    with pytest.raises(Busy):
        discard(store.folder)
    assert (store.folder / "data.mdb").exists()


def test_other_files_in_its_folder_stay(tmp_path):
    Store(tmp_path / "index", writable=True).close()
    (tmp_path / "index" / "notes.txt").write_text("mine")
    discard(tmp_path / "index")
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("more", [0, 400])
def test_opening_while_the_data_is_replaced(tmp_path, monkeypatch, more):
    """By a smaller file, as a compaction does, or a larger one."""
    for name, count in (("index", 200), ("other", more)):
        with closing(Store(tmp_path / name, writable=True)) as store:
            for number in range(count):
                store.write(lambda txn, n=number: txn.put("vectors", b"%d" % n, b"x" * 3000))
            store.write(lambda txn, name=name: txn.put("meta", b"name", name.encode()))
    open_env, data = Store._open, tmp_path / "other" / "data.mdb"

    def open_and_replace(self, lock):
        env = open_env(self, lock)
        if data.exists():
            os.replace(data, tmp_path / "index" / "data.mdb")
            (tmp_path / "index" / "lock.mdb").unlink()
        return env

    monkeypatch.setattr(Store, "_open", open_and_replace)
    with closing(Store(tmp_path / "index", writable=False)) as store, store.read() as txn:
        assert bytes(txn.get("meta", b"name")) == b"other"


READ = """
import sys
from pathlib import Path
from indexes.store.environment import Store
store = Store(Path(sys.argv[1]), writable=False)
print(flush=True)
for line in sys.stdin:
    store.follow()
    with store.read() as txn:
        print(bytes(txn.get("meta", b"key")).decode(), flush=True)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reader_that_enters_while_the_data_is_replaced(tmp_path, monkeypatch, moment):
    """Between any two steps: it sees later commits, and the writer knows about it."""
    folder, replace = tmp_path / "index", os.replace
    words = [sys.executable, "-c", READ, str(folder)]
    pipe = subprocess.PIPE
    readers = []

    def enter():
        reader = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[3]
        )
        reader.stdout.readline()
        readers.append(reader)

    def replace_and_enter(source, target):
        if moment == "before":
            enter()
        replace(source, target)
        if moment == "after":
            enter()

    with closing(Store(folder, writable=True)) as store:
        monkeypatch.setattr(environment.os, "replace", replace_and_enter)
        store.replace(lambda to: store.env.copy(str(to), compact=True))
        monkeypatch.undo()
        for number in range(5):
            store.write(lambda txn, n=number: txn.put("meta", b"key", b"%d" % n))
        (reader,) = readers
        with reader:
            print("read", file=reader.stdin, flush=True)
            assert reader.stdout.readline() == "4\n"
            assert str(reader.pid) in store.env.readers()
            reader.stdin.close()


WRITE = """
import sys
from pathlib import Path
from indexes.store.environment import Store
store = Store(Path(sys.argv[1]), writable=True)
for number in range(3):
    store.write(lambda txn: txn.put("meta", b"key", b"%d" % number))
store.close()
"""


def test_a_reader_notices_that_its_lock_file_is_gone(tmp_path):
    """Writers that use another lock file reuse the pages of its snapshots."""
    folder = tmp_path / "index"
    Store(folder, writable=True).close()
    with closing(Store(folder, writable=False)) as reader:
        snapshot = reader.begin_read()
        assert not reader.is_overtaken(snapshot)
        (folder / "lock.mdb").unlink()
        words = [sys.executable, "-c", WRITE, str(folder)]
        subprocess.run(words, check=True, cwd=Path(__file__).parents[3])
        assert reader.is_overtaken(snapshot)
        with pytest.raises(StorageFailed, match="was replaced"):
            reader.begin_read()
        snapshot.raw.abort()
        assert reader.follow()
        with reader.read() as txn:
            assert bytes(txn.get("meta", b"key")) == b"2"
        assert not reader.follow()


CREATE = """
import sys
from pathlib import Path
from indexes.store.environment import Store
Store(Path(sys.argv[1]), writable=True).close()
"""


def test_new_data_has_the_format_of_lmdb_0_9(tmp_path):
    """Whatever the binding's own default is."""
    environment = {**os.environ, "LMDB_DEFAULT_LIB_VERSION": "1"}
    words = [sys.executable, "-c", CREATE, str(tmp_path / "index")]
    subprocess.run(words, check=True, env=environment, cwd=Path(__file__).parents[3])
    assert layout.commits((tmp_path / "index" / "data.mdb").read_bytes())
    with closing(Store(tmp_path / "index", writable=False)) as store:
        assert store.env.lib_version()[0] == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_value_of_more_than_two_gibibytes(tmp_path):
    """LMDB's binding failed to commit one before version 2.3."""
    size = (2 << 30) + 12345
    if shutil.disk_usage(tmp_path).free < 2 * size:
        pytest.skip("not enough disk space")
    value = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    value[:3] = value[-3:] = b"end"
    with closing(Store(tmp_path / "index", writable=True)) as store:
        store.write(lambda txn: txn.put("segments", b"key", memoryview(value)))
        with store.read() as txn:
            view = txn.view("segments", b"key", whole=False)
            assert len(view) == size
            assert bytes(view[:3]) == bytes(view[-3:]) == b"end"
            assert not any(view[3:4096])
            del view
