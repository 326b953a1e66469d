"""A damaged encoder computes no key, and is restored from the one that the index came from."""

import shutil

import pytest
from damage import damage
from light import draw, openvino_encoder

from indexes import Index
from indexes.store.encoder import is_intact
from indexes.verify import check
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """An index of a few photos with the starter, whose whitening it has fitted."""
    base = tmp_path_factory.mktemp("fitted")
    files = draw(base / "photos", 4)
    with Index.create(base / "index", Encoder.open("starter")) as index:
        index.sync(base / "photos", workers=1)
        assert index.encoder.card.fitted_from
        return base / "index", index.search(files[1])


@pytest.fixture
def copy(fitted, tmp_path):
    return shutil.copytree(fitted[0], tmp_path / "copy")


@pytest.mark.parametrize("part", [b"card", b"graph", b"weights"])
def test_a_fitted_encoder_is_restored_from_the_starter(copy, fitted, part):
    damage(copy, "encoder", part)
    file = fitted[0].parent / "photos" / "001.png"
    with Index.open(copy) as index, pytest.raises(Damaged) as error:
        index.search(file)
    assert "verify --repair" in error.value.hint
    with Index.open(copy, writable=True) as index:
        assert index.restore_encoder()
        assert is_intact(index.txn)
        assert index.search(file) == fitted[1]
        assert not index.restore_encoder()
    assert check(copy).faults == []


def test_a_damaged_whitening_cannot_be_restored(copy, fitted, tmp_path):
    damage(copy, "encoder", b"weights", 0.9)
    with Index.open(copy, writable=True) as index:
        with pytest.raises(Damaged) as error:
            index.restore_encoder()
        assert "index --encoder NAME" in error.value.hint
        with pytest.raises(Damaged, match="do not match"):
            index.add(fitted[0].parent / "photos" / "002.png")
        assert len(index) == 4


def test_another_encoder_restores_nothing(tmp_path):
    encoder = openvino_encoder(tmp_path / "encoder")
    files = draw(tmp_path / "photos", 3)
    with Index.create(tmp_path / "index", encoder) as index:
        index.add(files)
        index.merge(everything=True)
    damage(tmp_path / "index", "encoder", b"weights")
    with Index.open(tmp_path / "index", writable=True) as index:
        with pytest.raises(Damaged, match="cannot be restored"):
            index.restore_encoder("starter")
        assert index.restore_encoder(tmp_path / "encoder")
        assert index.search(files[0])[0].record.paths == [str(files[0])]


def test_a_damaged_search_index_answers_nothing(tmp_path):
    files = draw(tmp_path / "photos", 40)
    with Index.create(tmp_path / "index", openvino_encoder(tmp_path / "encoder")) as index:
        index.sync(tmp_path / "photos", workers=1)
        index.merge(everything=True)
        number = next(iter(index.txn.keys("segments")))[:4]
    damage(tmp_path / "index", "segments", number + b"faiss", 0.7)
    with Index.open(tmp_path / "index") as index, pytest.raises(Damaged, match="digests"):
        index.search(files[0])
    with Index.open(tmp_path / "index", writable=True) as index:
        index.repair()
        assert index.search(files[0])[0].record.paths == [str(files[0])]
