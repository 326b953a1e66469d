"""A small index of each released format opens, answers queries and can be changed."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexes import Counts, Index
from indexes.search import segments
from indexes.store import roots
from indexes.store.environment import FORMAT, Store
from indexes.store.records import PathEntry, path_key
from indexes.store.txn import Txn
from indexes.sync import diff
from mocosearch.errors import Damaged
from mocosearch.photos import FileStat

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(params=[1, 2, 3, 4])
def old(request, tmp_path) -> Path:
    """Eleven keys of eight numbers in two roots, one copy, one skipped file; not a real graph."""
    folder = tmp_path / "index"
    folder.mkdir()
    packed = DATA / f"format{request.param}.mdb.gz"
    (folder / "data.mdb").write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def keys(index: Index) -> dict[int, np.ndarray]:
    stored = index.txn.items("vectors")
    return {int.from_bytes(k, "big"): np.frombuffer(bytes(v), np.float16) for k, v in stored}


@pytest.mark.parametrize("writable", [False, True])
def test_an_old_index_is_converted(old, writable):
    with Index.create(old, None) if writable else Index.open(old) as index:
        info = index.info()
        numbers = [info[name] for name in ("format", "images", "keys", "skipped")]
        assert numbers == [FORMAT, 12, 11, 1]
        assert info["roots"] == ["/photos/one", "/photos/two"]
        assert sorted(index.record(1).paths) == ["/photos/one/0001.jpg", "/photos/two/copy.jpg"]
        assert index.record(9).paths == ["/photos/two/0009.jpg"]
        assert [(r.path, r.reason) for r in index.skipped_files()] == [
            ("/photos/two/bad.jpg", "empty")
        ]
        for id, key in keys(index).items():
            assert index.query(key.astype(np.float32)[None], 1)[0][0].id == id
        assert all(segments.intact(index.txn, n) for n in segments.numbers(index.txn))


def test_a_migration_that_fails_leaves_the_old(old, monkeypatch):
    before = (old / "data.mdb").read_bytes()
    store = Store(old, writable=False)
    version = store.version
    store.close()
    assert version < FORMAT
    last = {1: "segments", 2: "refused", 3: "columns", 4: "meta"}[version]
    put = Txn.put

    def failing(txn, database, *words):
        return 1 / 0 if database == last else put(txn, database, *words)

    monkeypatch.setattr(Txn, "put", failing)
    with pytest.raises(ZeroDivisionError):
        Index.open(old)
    store = Store(old, writable=False)
    assert store.version == version
    store.close()
    assert len((old / "data.mdb").read_bytes()) >= len(before)
    monkeypatch.undo()
    with Index.open(old) as index:
        assert index.info()["images"] == 12


def test_a_newer_index_does_not_open(old):
    with Index.create(old, None) as index:
        index.store.write(lambda txn: txn.put("meta", b"format", str(FORMAT + 1).encode()))
    shutil.copy(old / "data.mdb", old / "before")
    for open_index in (Index.open, lambda folder: Index.create(folder, None)):
        with pytest.raises(Damaged, match="format") as caught:
            open_index(old)
        assert "update mocosearch" in caught.value.hint
    assert (old / "data.mdb").read_bytes() == (old / "before").read_bytes()


def test_a_migrated_index_stores_when_files_changed(old, tmp_path, fill, picture):
    """A file replaced under its old time and size would otherwise keep its key for ever."""
    (file,) = fill(tmp_path / "photos", [1])
    status = FileStat.of(str(file), file.stat())
    with Index.create(old, None) as index:
        index.store.write(lambda txn: roots.add(txn, [str(tmp_path / "photos")]))
        entry = PathEntry(1, status.size, status.mtime, f"3/{file.name}")
        index.store.write(lambda txn: txn.put("paths", path_key(entry.path), entry.to_bytes()))
        coverage = diff.Coverage(roots=[str(tmp_path / "photos")])
        assert diff.compare(index.store, [status], coverage, False, Counts()) == []
        later = replace(status, changed=status.changed + 1)
        assert diff.compare(index.store, [later], coverage, False, Counts()) == [later]
