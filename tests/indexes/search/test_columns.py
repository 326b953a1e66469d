"""Filters answered by columns against the same filters answered record by record."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import Index, Where, verify
from indexes.search import filters, segments, snapshot
from indexes.store import columns, roots
from indexes.store.records import Record, id_key
from mocosearch.encoder import Card, Encoder
from mocosearch.errors import Damaged, Unsuitable

ROOTS = ("/photos", "/disk/Fotos \u00e9t\u00e9")
CARD = Card("none", 32, 8, {}, 0, 0.0, 0.0, None, "test", "2026-01-01")
NAMES = ("a.jpg", "b.HEIC", "M\u00fcnchen.png", "c", "2019", ".hidden", "d.tar.gz")


def spelled(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["NFC", "NFD"]).map(lambda form: unicodedata.normalize(form, name))


folders = st.lists(st.sampled_from(["2019", "M\u00fcnchen", "caf\udce9"]), max_size=2)
files = st.sampled_from(NAMES).flatmap(spelled)
below = st.tuples(folders, files).map(lambda parts: "/".join([*parts[0], parts[1]]))
stored_paths = st.tuples(st.sampled_from("12"), below.flatmap(spelled)).map("/".join)
times = (
    st.datetimes().filter(lambda at: at.year > 1900).map(lambda at: at.isoformat("T", "seconds"))
)
times |= st.sampled_from(
    ["2019-12-31T23:59:59", "2020-01-01T00:00:00+02:00", "2020-02-29T00:00:00"]
)
records = st.builds(
    Record,
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    format=st.sampled_from(["JPEG", "MPO", "HEIF", "PNG", "TIFF", ""]),
    taken=st.none() | times,
    size=st.just(1),
    digest=st.just("00"),
    paths=st.lists(stored_paths, min_size=1, max_size=3, unique=True),
    camera=st.sampled_from([None, "", "Canon EOS 5D", "Apple iPhone 12", "STRASSE \u00df"]),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
)
absolute = st.tuples(st.sampled_from(ROOTS), below).map("/".join).flatmap(spelled)
places = absolute | absolute.map(os.path.dirname) | st.sampled_from(["/", "/photos", "/pho", "/x"])
bounds = st.sampled_from(["", "2019", "2020-01", "2019-12", "2020-02-29", "2019-12-31"])
distances = st.sampled_from([0, 1, 500, 9000, 30000])
conditions = st.builds(
    Where,
    under=st.lists(places, max_size=2).map(tuple),
    not_under=st.lists(places, max_size=2).map(tuple),
    taken=st.none() | st.tuples(bounds, bounds),
    near=st.none()
    | st.tuples(
        st.floats(-90, 90), st.floats(-180, 180), st.sampled_from([0, 1, 500, 9000, 30000])
    ),
    camera=st.none() | st.sampled_from(["", "canon", "IPHONE", "strasse ss", "x"]),
    format=st.none() | st.sampled_from(["jpg", ".JPEG", "heic", "png", "gz", "", "tif"]),
    min_side=st.sampled_from([0, 1, 1000, 4000]),
)
ids = st.integers(1, 40) | st.integers(4090, 4100) | st.integers(1 << 32, (1 << 32) + 3)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns") / "index"
    with Index.create(folder, Encoder(CARD, b"graph", b"weights")) as opened:
        opened.store.write(lambda txn: roots.add(txn, ROOTS))
        yield opened


def fill(index: Index, photos: dict[int, Record]) -> None:
    def change(txn):
        for key in list(txn.keys("images")):
            txn.delete("images", key)
        for id, record in photos.items():
            txn.put("images", id_key(id), record.to_bytes())

    index.store.write(change)
    index.refresh()


def naive(index: Index, photos: dict[int, Record], where: Where) -> list[int]:
    def absolute(record: Record) -> dict:
        return vars(record) | {"paths": [index.roots.path(path) for path in record.paths]}

    return sorted(id for id, record in photos.items() if where.admits(absolute(record)))


def ids_of(index: Index, where: Where) -> list[int]:
    """Without a check that the folders exist: these photos have no files."""
    return filters.admitted(index.txn, index.roots, where).tolist()


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(ids, records, max_size=12), st.lists(conditions, min_size=1, max_size=4))
def test_columns_and_records_agree(index, photos, wheres):
    fill(index, photos)
    for where in wheres:
        assert ids_of(index, where) == naive(index, photos, where)
    assert list(columns.faults(index.txn)) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(ids, st.none() | records), max_size=20))
def test_columns_follow_every_change(index, changes):
    """Written one by one, in any order, they are those of a rebuilt index."""
    fill(index, {})
    for id, record in changes:
        if record is None:
            index.store.write(lambda txn, id=id: txn.delete("images", id_key(id)))
        else:
            stored = record.to_bytes()
            index.store.write(
                lambda txn, id=id, stored=stored: txn.put("images", id_key(id), stored)
            )
    index.refresh()
    before = [(bytes(key), bytes(value)) for key, value in index.txn.items("columns")]
    index.store.write(columns.rebuild)
    index.refresh()
    assert [(bytes(key), bytes(value)) for key, value in index.txn.items("columns")] == before


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 300) | st.integers(1 << 40, (1 << 40) + 9), unique=True),
    st.lists(st.integers(1, 400) | st.integers(1 << 40, (1 << 40) + 20), unique=True),
)
def test_membership_is_that_of_numpy(ids, some):
    ids, some = np.array(ids, np.uint64), np.array(some, np.uint64)
    assert segments.are_in(ids, some).tolist() == np.isin(ids, some).tolist()


def test_one_file_as_a_folder(index):
    """`--in` may name a file, of a photo that has others elsewhere."""
    one = Record(1, 1, "JPEG", None, 1, "00", ["1/a.jpg", "1/b/a.jpg"])
    fill(index, {1: one, 2: Record(1, 1, "JPEG", None, 1, "00", ["1/b.jpg"])})
    assert ids_of(index, Where(under=("/photos/a.jpg",))) == [1]
    assert ids_of(index, Where(not_under=("/photos/a.jpg",))) == [1, 2]
    assert ids_of(index, Where(not_under=("/photos/a.jpg", "/photos/b"))) == [2]


def test_a_bound_that_is_no_time(index):
    with pytest.raises(Unsuitable, match="soon"):
        index.among(Where(taken=("soon", "")))


@pytest.mark.parametrize("column", ["ids", "folder", "taken"])
def test_columns_that_are_missing_or_differ_are_reported_and_rebuilt(index, column):
    where = Where(under=("/photos",), taken=("2019", ""))
    fill(index, {7: Record(1, 1, "JPEG", "2019-01-01T00:00:00", 1, "00", ["1/a.jpg"])})
    key = id_key(0) + column.encode()
    index.store.write(lambda txn: txn.delete("columns", key))
    index.refresh()
    with pytest.raises(Damaged):
        index.among(where)
    assert list(columns.faults(index.txn))
    index.repair()
    assert index.among(where).tolist() == [7]
    assert list(columns.faults(index.txn)) == []


def test_verify_reports_columns(index):
    fill(index, {7: Record(1, 1, "JPEG", None, 1, "00", ["1/a.jpg"])})
    index.store.write(lambda txn: txn.put("columns", id_key(0) + b"side", b"\2\0\0\0"))
    index.refresh()
    assert any("columns" in finding.text for finding in verify.look(index))
    index.store.write(columns.rebuild)


def test_a_query_without_deletions_or_filters_builds_no_mask(collection, monkeypatch):
    index, keys = collection
    index.refresh()
    index.query(keys[:1], 3, Where(min_side=1))
    monkeypatch.setattr(snapshot, "admitted", None)
    monkeypatch.setattr(segments, "are_in", None)
    monkeypatch.setattr(np, "packbits", None)
    index.query(keys[:1], 3, Where(min_side=1))
    index.query(keys[:1], 3)


def test_a_snapshot_keeps_its_masks_and_a_new_one_sees_new_deletions(collection, monkeypatch):
    index, keys = collection
    index.store.write(lambda txn: txn.put("deleted", id_key(3), b""))
    index.refresh()
    assert index.query(keys[2:3], 1)[0][0].id != 3
    with monkeypatch.context() as patch:
        patch.setattr(np, "packbits", None)
        assert index.query(keys[2:3], 1)[0][0].id != 3
    index.store.write(lambda txn: txn.delete("deleted", id_key(3)))
    index.refresh()
    assert index.query(keys[2:3], 1)[0][0].id == 3


@pytest.fixture
def collection(tmp_path: Path):
    """Twenty photos in one segment, of no deletion."""
    keys = np.random.default_rng(0).standard_normal((20, 8))
    keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float16)

    def change(txn):
        roots.add(txn, ROOTS)
        for id, key in enumerate(keys, 1):
            record = Record(9, 9, "JPEG", None, 1, "00", [f"1/{id}.jpg"])
            txn.put("images", id_key(id), record.to_bytes())
            txn.put("vectors", id_key(id), key.tobytes())
        segments.append(txn, range(1, 21), keys)

    with Index.create(tmp_path / "index", Encoder(CARD, b"graph", b"weights")) as opened:
        opened.store.write(change)
        opened.refresh()
        yield opened, keys.astype(np.float32)
