"""The first photos of an index have its encoder's whitening fitted on them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from answers import told

from indexes import Index
from indexes.store.encoder import replace_encoder
from indexes.sync import embed
from indexes.verify import look
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import NOTHING, OTHERS, OWN, Card
from mocosearch.errors import Busy, Mismatch, StorageFailed
from mocosearch.photos import decode


@pytest.fixture
def general(encoder) -> Encoder:
    """As the starter is: whitened on other photos."""
    return Encoder(replace(encoder.card, whitening=OTHERS), encoder.graph, encoder.weights)


@pytest.fixture
def files(photos, fill):
    return fill(photos, range(12))


@pytest.fixture
def index(tmp_path, general):
    with Index.create(tmp_path / "index", general) as opened:
        yield opened


def keys_from(index: Index, files: list) -> np.ndarray:
    side = index.encoder.side
    return index.encoder.encode(np.stack([decode(f.read_bytes(), side).pixels for f in files]))


def assert_its_own(index: Index, files: list) -> None:
    """Every stored key is the one that the index's encoder makes, and finds its photo."""
    ids = [index.entry(str(file)).id for file in files]
    stored = index.keys(ids)
    assert (stored * keys_from(index, files)).sum(1).min() > 0.998
    assert [match[0].id for match in index.query(stored, 1)] == ids
    assert list(look(index)) == []


def test_it_is_fitted_once(index, general, photos, files, fill):
    index.sync([photos])
    fitted = index.encoder.card
    assert (fitted.whitening, fitted.whitened) == (OWN, 12)
    assert fitted.fitted_from == general.fingerprint != fitted.fingerprint
    assert_its_own(index, files)
    more = fill(photos, range(20, 60))
    assert told(index.sync([photos])) == {"embedded": 40, "unchanged": 12}
    assert index.encoder.fingerprint == fitted.fingerprint
    assert_its_own(index, [*files, *more])


def test_of_many_a_sample_from_everywhere(index, photos, files, monkeypatch):
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 1)
    monkeypatch.setattr(embed, "FITTED_ON", 4)
    assert told(index.sync([photos])) == {"embedded": 12}
    assert index.encoder.card.whitened == 4
    assert_its_own(index, files)
    first = sorted(index.record(id).paths[0] for id in range(1, 5))
    assert first == [str(files[at]) for at in (0, 3, 6, 9)]


def test_refused_files_do_not_count(index, photos, files, monkeypatch):
    for number in range(0, 12, 2):
        files[number].write_bytes(b"\xff\xd8\xff")
    monkeypatch.setattr(embed, "FITTED_ON", 5)
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 1)
    assert told(index.sync([photos])) == {"embedded": 6, "skipped": 6}
    assert index.encoder.card.whitened == 5


def test_one_of_these_photos_stays_as_it_is(tmp_path, encoder, photos, files):
    with Index.create(tmp_path / "own", encoder) as index:
        index.sync([photos])
        assert index.encoder.fingerprint == encoder.fingerprint


def test_too_few_for_one_without_any(tmp_path, encoder, photos, files):
    bare = Encoder(replace(encoder.card, whitening=NOTHING), encoder.graph, encoder.weights)
    with Index.create(tmp_path / "bare", bare) as index:
        index.sync([photos])
        assert index.encoder.card == bare.card
        assert_its_own(index, files)


def test_interrupted_it_is_fitted_on_what_is_there(index, photos, files, monkeypatch):
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 1)
    asked = iter([False] * 6)
    index.sync([photos], stopped=lambda: next(asked, True))
    assert index.encoder.card.whitened == len(index) == 7
    index.sync([photos])
    assert index.encoder.card.whitened == 7
    assert_its_own(index, files)


def test_encoder_and_first_photos_become_visible_together(
    index, general, photos, files, monkeypatch
):
    def full(*_):
        raise StorageFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(embed, "commit", full)
        with pytest.raises(StorageFailed):
            index.sync([photos])
    index.refresh()
    assert (len(index), index.encoder.card) == (0, general.card)
    index.sync([photos])
    assert_its_own(index, files)


def test_who_reads_meanwhile_goes_on_with_the_new_one(index, general, photos, files):
    with ThreadPoolExecutor(1) as reader:

        def card() -> Card:
            return reader.submit(lambda: index.encoder.card).result()

        assert card() == general.card
        index.sync([photos])
        assert card() == general.card
        reader.submit(index.refresh).result()
        assert card() == index.encoder.card != general.card


def test_the_encoder_it_came_from_is_no_other(index, general, photos, files, encoder):
    index.sync([photos])
    folder, fitted = index.store.folder, index.encoder.card
    index.close()
    with Index.create(folder, general) as again:
        assert again.encoder.card == fitted
    other = Encoder(replace(encoder.card, fingerprint="other"), encoder.graph, encoder.weights)
    with pytest.raises(Mismatch):
        Index.create(folder, other)


def test_a_second_generation_fits_it_on_all(index, general, photos, files, fill):
    index.sync([photos])
    more = fill(photos, range(20, 50))
    index.sync([photos])
    index.renew(general)
    assert index.encoder.card.whitened == 42
    assert_its_own(index, [*files, *more])


def test_photos_added_meanwhile_keep_their_encoder(index, photos, files):
    index.add(files[:1])
    with pytest.raises(Busy):
        index.store.write(lambda txn: replace_encoder(txn, index.encoder))


def test_slow_photos_do_not_wait_for_it_for_ever(index, photos, files, monkeypatch):
    """What was read before a crash would be lost."""
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 1)
    monkeypatch.setattr(embed, "FIT_SECONDS", 0.0)
    counts = []
    index.sync([photos], stopped=lambda: counts.append(index.store.read) or len(counts) == 3)
    assert len(index) == 3
    index.sync([photos])
    assert_its_own(index, files)
