"""One run of `index`: several changes at once, and what it decides."""

import shutil
from dataclasses import replace

import pytest
from answers import nonzero, total
from hypothesis import given
from hypothesis import strategies as st
from light import light, read_in_process, use_light_encoders

from indexes import Counts, Index
from indexes.sync import embed
from indexes.sync.update import Changes, is_outgrown, open_encoder
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import NOTHING, OTHERS, OWN
from mocosearch.errors import NotFound, StorageFailed, Unsuitable

OLD, NEW = light(1), light(2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    use_light_encoders(monkeypatch)
    monkeypatch.setattr(embed, "read_photos", read_in_process)


@pytest.fixture
def folder(tmp_path):
    """Of an index that does not exist yet."""
    return tmp_path / "index"


def test_a_new_index(folder, photos, fill):
    fill(photos, range(3))
    with Index.create(folder, OLD) as index:
        report = index.update(Changes([photos], kind="HNSW8", recall=0.9), discard_blank=True)
        assert nonzero(report.counts) == {"embedded": 3}
        assert (report.photos, report.outgrown) == (3, False)
        assert (index.info()["kind_asked"], index.info()["recall_asked"]) == ("HNSW8", 0.9)


def test_all_changes_in_one_run(folder, photos, fill):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 5))
    with Index.create(folder, OLD) as index:
        index.sync([one, two])
        one.rename(photos / "moved")
        fill(photos / "more", [7])
        changes = Changes(
            [photos / "more"], kind="HNSW8", move=(str(one), str(photos / "moved")), remove=str(two)
        )
        lines = []
        report = index.update(changes, NEW, notice=lines.append)
        assert nonzero(report.counts) == {"embedded": 4, "deleted": 2}
        assert report.photos == len(index) == 4
        assert index.encoder.fingerprint == NEW.fingerprint
        assert index.info()["kind_asked"] == "HNSW8"
        assert sorted(index.roots.places.values()) == [str(photos / "more"), str(photos / "moved")]
    assert len(lines) == 1
    assert lines[0].startswith("another encoder: every photo gets a new key")


def test_the_same_encoder_changes_no_key(folder, photos, fill):
    fill(photos, range(3))
    with Index.create(folder, OLD) as index:
        index.sync([photos])
        lines = []
        assert nonzero(index.update(Changes([photos]), OLD, notice=lines.append).counts) == {
            "unchanged": 3
        }
        assert lines == []


def test_an_interrupted_renewal_does_not_sync(folder, photos, fill):
    fill(photos, range(3))
    with Index.create(folder, OLD) as index:
        index.sync([photos])
        fill(photos, [9])
        counts = index.update(Changes([photos]), NEW, stopped=lambda: True).counts
        assert counts.interrupted
        assert len(index) == 3
        assert index.encoder.fingerprint == OLD.fingerprint


def test_a_new_index_without_photos_is_discarded(folder, photos):
    (photos / "notes.txt").write_text("words")
    with Index.create(folder, OLD) as index:
        report = index.update(Changes([photos]), discard_blank=True)
    assert nonzero(report.counts) == {"not_pictures": 1}
    assert not folder.exists()


def test_a_new_index_with_a_skipped_photo_stays(folder, photos):
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    with Index.create(folder, OLD) as index:
        index.update(Changes([photos]), discard_blank=True)
    assert Index.exists(folder)


def test_an_existing_index_that_becomes_empty_stays(folder, photos, fill):
    fill(photos, range(2))
    with Index.create(folder, OLD) as index:
        index.sync([photos])
        shutil.rmtree(photos)
        photos.mkdir()
        assert index.update(Changes([photos], prune=True)).photos == 0
    assert Index.exists(folder)


def test_a_new_index_that_fails_is_discarded(folder, photos, fill, monkeypatch):
    def fail(*_):
        raise StorageFailed("the disk is full")

    fill(photos, range(2))
    monkeypatch.setattr(embed, "commit", fail)
    with Index.create(folder, OLD) as index, pytest.raises(StorageFailed):
        index.update(Changes([photos]), discard_blank=True)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (Changes(), NotFound),
        (Changes(["/no/such/folder"]), NotFound),
        (Changes(["."], move=("/a", "/no/such/folder")), NotFound),
        (Changes(["."], kind="Nonsense7"), Unsuitable),
        (Changes(["."], recall=1.5), Unsuitable),
    ],
)
def test_wrong_changes_are_rejected_before_an_index_is_created(
    folder, encoder_folder, changes, error
):
    with pytest.raises(error):
        open_encoder(folder, changes, str(encoder_folder), print)
    assert not folder.exists()


def test_the_encoder_of_a_new_index(folder, home, encoder_folder):
    lines = []
    starter = open_encoder(folder, Changes(["."]), None, lines.append)
    assert "no encoder called default: using the starter" in lines[0]
    shutil.copytree(encoder_folder, home / "encoders" / "default")
    default = open_encoder(folder, Changes(["."]), None, lines.append)
    assert len(lines) == 1
    assert default.fingerprint == Encoder.open(encoder_folder).fingerprint != starter.fingerprint


def test_an_existing_index_keeps_its_encoder(folder):
    Index.create(folder, OLD).close()
    assert open_encoder(folder, Changes(), None, print) is None


@pytest.mark.parametrize(
    ("whitening", "whitened", "photos", "outgrown"),
    [
        (OWN, 10, 20, False),
        (OWN, 10, 21, True),
        (OWN, 2047, 90_000, True),
        (OWN, 2048, 90_000, False),
        (OTHERS, 0, 1, False),
        (OTHERS, 0, 2, True),
        (NOTHING, 0, 99, False),
        (NOTHING, 0, 100, True),
    ],
)
def test_when_a_whitening_is_outgrown(whitening, whitened, photos, outgrown):
    card = replace(OLD.card, whitening=whitening, whitened=whitened, fitted_from="another")
    assert is_outgrown(card, photos) is outgrown


def test_the_whitening_of_a_training_is_never_outgrown():
    assert not is_outgrown(replace(OLD.card, whitening=OWN, fitted_from=None), 90_000)


NUMBERS = st.integers(0, 9)


@given(embedded=NUMBERS, unchanged=NUMBERS, extra=NUMBERS, deleted=NUMBERS)
def test_a_renewal_counts_no_file_twice(embedded, unchanged, extra, deleted):
    """The photos of a renewal are unchanged in the sync after it: the total stays."""
    counts = Counts(embedded=embedded, unchanged=unchanged + extra, deleted=1)
    before = total(counts)
    counts.add_renewal(Counts(embedded=unchanged, deleted=deleted))
    assert total(counts) == before
    assert (counts.embedded, counts.unchanged) == (embedded + unchanged, extra)
    assert counts.deleted == 1 + deleted
