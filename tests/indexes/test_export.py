import json
import os
import shutil

import numpy as np
import pytest

from indexes import Index
from mocosearch.errors import Unsuitable


@pytest.fixture
def index(encoder, fill, tmp_path):
    files = fill(tmp_path / "photos", range(12))
    shutil.copy(files[0], tmp_path / "photos" / "copy.jpg")
    os.rename(files[1], os.fsencode(tmp_path / "photos") + b"/caf\xe9.jpg")
    with Index.create(tmp_path / "index", encoder) as opened:
        opened.sync([tmp_path / "photos"])
        files[5].unlink()
        opened.sync([tmp_path / "photos"])
        yield opened


def test_files_for_other_programs(index, tmp_path):
    import faiss
    from pyarrow import parquet

    names = index.export(tmp_path / "out")
    assert names == ["ids.npy", "index.faiss", "keys.npy", "photos.parquet", "records.jsonl"]
    assert {*os.listdir(tmp_path)} - {"home"} == {"index", "out", "photos"}
    ids, keys = np.load(tmp_path / "out" / "ids.npy"), np.load(tmp_path / "out" / "keys.npy")
    assert (ids.dtype, keys.dtype, keys.shape) == (np.uint64, np.float16, (11, 24))
    lines = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["id"] for r in records] == ids.tolist()
    for record in records:
        assert record["paths"] == index.record(record["id"]).paths
    plain = faiss.read_index(str(tmp_path / "out" / "index.faiss"))
    _, neighbours = plain.search(keys.astype(np.float32), 3)
    ours = index.query(keys.astype(np.float32), 3)
    assert neighbours.tolist() == [[m.id for m in row] for row in ours]
    table = parquet.read_table(tmp_path / "out" / "photos.parquet")
    assert table["id"].to_pylist() == ids.tolist()
    assert np.array_equal(np.stack(table["key"].to_numpy()).astype(np.float16), keys)
    names = [path for paths in table["paths"].to_pylist() for path in paths]
    assert any(name.endswith("caf\\udce9.jpg") for name in names)


def test_a_folder_with_something_in_it_is_left_alone(index, tmp_path):
    with pytest.raises(Unsuitable, match="not empty"):
        index.export(tmp_path / "photos")
    (tmp_path / "file").touch()
    with pytest.raises(Unsuitable):
        index.export(tmp_path / "file")


def test_a_failed_export_leaves_nothing(index, tmp_path, monkeypatch):
    monkeypatch.setattr("indexes.export._write_faiss_with_ids", lambda *words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.export(tmp_path / "out")
    assert {*os.listdir(tmp_path)} - {"home"} == {"index", "photos"}


def test_a_compact_index_is_smaller_and_answers_the_same(index, tmp_path):
    keys = _keys(index)
    before = [[(m.id, m.score) for m in row] for row in index.query(keys, 5)]
    index.store.write(lambda txn: txn.put("meta", b"waste", b"x" * 3_000_000))
    index.store.write(lambda txn: txn.delete("meta", b"waste"))
    size = (tmp_path / "index" / "data.mdb").stat().st_size
    saved = index.compact()
    assert saved > 2_500_000
    assert (tmp_path / "index" / "data.mdb").stat().st_size == size - saved
    assert [[(m.id, m.score) for m in row] for row in index.query(keys, 5)] == before
    assert index.sync([tmp_path / "photos"]).unchanged == 12


def _keys(index: Index) -> np.ndarray:
    rows = [np.frombuffer(bytes(v), np.float16) for _, v in index.txn.items("vectors")]
    return np.stack(rows).astype(np.float32)


def test_a_compaction_that_fails_keeps_the_old(index, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.compact()
    monkeypatch.undo()
    with Index.open(tmp_path / "index") as again:
        assert len(again) == 11
    assert not (tmp_path / "index" / ".next").exists()


def test_parquet_takes_facts_that_only_later_photos_have(index, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    import indexes.formats.parquet as exporting
    import indexes.formats.rows as rows

    monkeypatch.setattr(rows.pieces, "__defaults__", (5,))

    def records_with_facts(index, ids):
        for row in plain(index, ids):
            later = row["id"] > 6
            yield row | ({"latitude": 48.1, "camera": "X"} if later else {"camera": None})

    plain = exporting.records
    monkeypatch.setattr(exporting, "records", records_with_facts)
    index.export(tmp_path / "files")
    table = parquet.read_table(tmp_path / "files" / "photos.parquet")
    assert table["latitude"].to_pylist().count(48.1) == sum(i > 6 for i in table["id"].to_pylist())
