import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import Index
from indexes.store import roots
from indexes.store.roots import Roots
from mocosearch.errors import NotFound

NAMES = st.text("ab/ .é\udce9", min_size=1, max_size=12).map(lambda s: os.path.normpath("/r/" + s))


@pytest.fixture
def photos(tmp_path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def index(encoder, tmp_path):
    with Index.create(tmp_path / "index", encoder) as opened:
        yield opened


def paths(index: Index) -> list[str]:
    index.refresh()
    ids = [key for key, _ in index.txn.items("images")]
    names = [p for id in ids for p in index.record(int.from_bytes(id, "big")).paths]
    return sorted(names)


@settings(max_examples=100, deadline=None)
@given(NAMES, st.integers(1, 999))
def test_a_stored_path_becomes_the_same_path(path, number):
    two = Roots({number: "/r", number + 1: "/q"})
    if path.startswith("/r"):
        assert two.path(two.relative(path)) == path
        elsewhere = Roots({number: "/elsewhere", number + 1: "/q"})
        assert elsewhere.path(two.relative(path)) == "/elsewhere" + path[2:]
    else:
        with pytest.raises(NotFound):
            two.relative(path)


def test_a_move_reads_no_photo(index, photos, fill, tmp_path):
    files = fill(photos / "a", range(3))
    index.sync([photos])
    ids = [match.id for match in index.query(index_keys(index), 9)[0]]
    photos.rename(tmp_path / "elsewhere")
    index.move(photos, tmp_path / "elsewhere")
    assert paths(index) == [str(tmp_path / "elsewhere" / "a" / f.name) for f in files]
    counts = index.sync([tmp_path / "elsewhere"])
    assert (counts.unchanged, counts.embedded, counts.moved, counts.deleted) == (3, 0, 0, 0)
    assert [match.id for match in index.query(index_keys(index), 9)[0]] == ids


def index_keys(index: Index):
    import numpy as np

    return np.eye(1, index.encoder.dimension, dtype=np.float32)


def test_a_mount_point_moves_all_roots_on_it(index, photos, fill, tmp_path):
    fill(photos / "one", range(2))
    fill(photos / "two", range(2, 4))
    index.sync([photos / "one", photos / "two"])
    index.move(photos, "/mnt/disk")
    index.refresh()
    assert index.info()["roots"] == ["/mnt/disk/one", "/mnt/disk/two"]


def test_a_folder_that_is_no_root_does_not_move(index, photos, fill):
    fill(photos / "one", range(2))
    index.sync([photos])
    for wrong in (photos / "one", "/nowhere"):
        with pytest.raises(NotFound, match="no root") as caught:
            index.move(wrong, "/mnt")
        assert str(photos) in caught.value.hint
    assert index.info()["roots"] == [str(photos)]


def test_a_root_inside_a_root_is_one(index, photos, fill):
    fill(photos / "one", range(3))
    fill(photos / "two", range(3, 5))
    index.sync([photos / "one"])
    index.sync([photos])
    assert index.info()["roots"] == [str(photos)]
    assert index.info()["images"] == 5
    counts = index.sync([photos / "one", photos / "one"])
    assert (counts.unchanged, counts.deleted) == (3, 0)
    assert index.info()["roots"] == [str(photos)]
    assert len(paths(index)) == len(set(paths(index))) == 5


def test_a_move_onto_another_root_joins_them(index, photos, fill):
    one = fill(photos / "one", range(2))
    fill(photos / "two", range(2, 4))
    index.sync([photos / "one", photos / "two"])
    shutil.copy(one[0], photos / "two")
    index.sync([photos / "two"])
    before = {Path(p).name for p in paths(index)}
    index.move(photos / "one", photos / "two")
    assert index.info()["roots"] == [str(photos / "two")]
    assert {Path(p).name for p in paths(index)} == before
    assert len(paths(index)) == len(set(paths(index))) == 4


def test_removing_a_root(index, photos, fill):
    fill(photos / "one", range(3))
    others = fill(photos / "two", range(3, 5))
    index.sync([photos / "one", photos / "two"])
    assert index.remove(photos / "one") == 3
    assert index.info()["roots"] == [str(photos / "two")]
    assert paths(index) == sorted(map(str, others))
    with pytest.raises(NotFound, match="no root"):
        index.remove(photos / "one")


@pytest.mark.parametrize("missing", [False, True])
def test_photos_of_an_empty_folder_stay_without_prune(index, photos, fill, missing):
    fill(photos / "one", range(3))
    fill(photos / "two", range(3, 5))
    both = [photos / "one", photos / "two"]
    index.sync(both)
    shutil.rmtree(photos / "one")
    if not missing:
        (photos / "one").mkdir()
    counts = index.sync(both)
    assert (counts.deleted, counts.unchanged, counts.absent) == (0, 2, [str(photos / "one")])
    assert index.info()["images"] == 5
    counts = index.sync(both, prune=True)
    assert (counts.deleted, counts.absent) == (3, [])
    assert index.info()["roots"] == [str(photos / "two")]


def test_an_index_beside_its_photos_moves_with_them(encoder, fill, tmp_path):
    disk = tmp_path / "mnt" / "a"
    fill(disk / "photos", range(3))
    with Index.create(disk / "index", encoder) as index:
        index.sync([disk / "photos"])
    moved = disk.rename(tmp_path / "mnt" / "b")
    with Index.open(moved / "index") as index:
        assert paths(index) == [str(moved / "photos" / f"{n:04}.jpg") for n in range(3)]
    with Index.create(moved / "index", None) as index:
        assert index.sync([moved / "photos"]).unchanged == 3
        assert index.info()["roots"] == [str(moved / "photos")]


def test_an_index_inside_its_photos_skips_itself(encoder, fill, tmp_path):
    fill(tmp_path / "photos", range(2))
    with Index.create(tmp_path / "photos" / "index", encoder) as index:
        for _ in range(2):
            counts = index.sync([tmp_path / "photos"])
            assert (counts.not_pictures, counts.skipped) == (0, 0)


def test_a_copy_of_an_index_has_the_same_paths(encoder, fill, tmp_path):
    fill(tmp_path / "photos", range(2))
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path / "photos"])
    shutil.copytree(tmp_path / "index", tmp_path / "deep" / "down" / "copy")
    with Index.open(tmp_path / "deep" / "down" / "copy") as index:
        assert paths(index)[0].startswith(str(tmp_path / "photos"))


def test_a_path_longer_than_any_key_of_lmdb(index, photos, fill):
    deep = photos.joinpath(*["x" * 200] * 4)
    (file,) = fill(deep, [1])
    index.sync([photos])
    assert paths(index) == [str(file)]
    assert index.sync([photos]).unchanged == 1


def test_absolute():
    assert roots.absolute("~").startswith("/")
