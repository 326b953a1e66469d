"""The encoder's whitening is fitted on the first photos of an index."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from answers import nonzero

from indexes import Index
from indexes.store.encoder import replace_encoder
from indexes.sync import embed, fitting
from indexes.verify import look
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import NOTHING, OTHERS, OWN, Card
from mocosearch.errors import Busy, Mismatch, StorageFailed
from mocosearch.photos import decode


@pytest.fixture(scope="module")
def encoder(encoder_folder) -> Encoder:
    """One whose graph has a whitening."""
    return Encoder.open(encoder_folder)


@pytest.fixture
def general(encoder) -> Encoder:
    """Like the starter: with a whitening that was fitted on other photos."""
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


def assert_own_keys(index: Index, files: list) -> None:
    """Every stored key is the one of the index's encoder, and its best match is its photo."""
    ids = [index.entry(str(file)).id for file in files]
    stored = index.keys(ids)
    assert (stored * keys_from(index, files)).sum(1).min() > 0.998
    assert [match[0].id for match in index.query(stored, 1)] == ids
    assert list(look(index)) == []


def test_the_whitening_is_fitted_once(index, general, photos, files, fill):
    index.sync([photos])
    card = index.encoder.card
    assert (card.whitening, card.whitened) == (OWN, 12)
    assert card.fitted_from == general.fingerprint != card.fingerprint
    assert_own_keys(index, files)
    more = fill(photos, range(20, 60))
    assert nonzero(index.sync([photos])) == {"embedded": 40, "unchanged": 12}
    assert index.encoder.fingerprint == card.fingerprint
    assert_own_keys(index, [*files, *more])


def test_it_is_fitted_on_an_evenly_spaced_sample(index, photos, files, monkeypatch):
    monkeypatch.setattr(embed, "FIT_PHOTOS", 4)
    assert nonzero(index.sync([photos])) == {"embedded": 12}
    assert index.encoder.card.whitened == 4
    assert_own_keys(index, files)
    first = sorted(index.record(id).paths[0] for id in range(1, 5))
    assert first == [str(files[at]) for at in (0, 3, 6, 9)]


def test_skipped_files_are_not_part_of_the_sample(index, photos, files, monkeypatch):
    for number in range(0, 12, 2):
        files[number].write_bytes(b"\xff\xd8\xff")
    monkeypatch.setattr(embed, "FIT_PHOTOS", 5)
    assert nonzero(index.sync([photos])) == {"embedded": 6, "skipped": 6}
    assert index.encoder.card.whitened == 5


def test_a_whitening_of_these_photos_is_not_fitted_again(tmp_path, encoder, photos, files):
    with Index.create(tmp_path / "own", encoder) as index:
        index.sync([photos])
        assert index.encoder.fingerprint == encoder.fingerprint


def test_too_few_photos_for_a_first_whitening(tmp_path, encoder, photos, files):
    bare = Encoder(replace(encoder.card, whitening=NOTHING), encoder.graph, encoder.weights)
    with Index.create(tmp_path / "bare", bare) as index:
        index.sync([photos])
        assert index.encoder.card == bare.card
        assert_own_keys(index, files)


def test_after_an_interrupted_run_the_next_one_fits_it_on_all(
    index, general, photos, files, monkeypatch
):
    answers = iter([False] * 6)
    index.sync([photos], stopped=lambda: next(answers, True))
    assert (index.encoder.card, len(index)) == (general.card, 7)
    present = [file for file in files if index.entry(str(file))]
    assert_own_keys(index, present)
    assert nonzero(index.sync([photos])) == {"embedded": 5, "unchanged": 7}
    assert index.encoder.card.whitened == 12
    assert_own_keys(index, files)


def test_it_is_fitted_without_reading_photos_again(index, photos, files, monkeypatch):
    """The first run is killed after its last commit and before the fit."""

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(embed, "FIRST_BATCH", 4)
    monkeypatch.setattr(embed, "COMMIT_BATCH", 4)
    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fitting, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            index.sync([photos])
    index.refresh()
    assert index.encoder.card.whitened == 0
    assert_own_keys(index, files)
    monkeypatch.setattr(embed, "read_photos", lambda files, *_: iter(files))
    assert nonzero(index.sync([photos])) == {"unchanged": 12}
    assert index.encoder.card.whitened == 12
    assert_own_keys(index, files)


def test_photos_deleted_before_the_fit(index, photos, files, monkeypatch):
    answers = iter([False] * 6)
    index.sync([photos], stopped=lambda: next(answers, True))
    present = [file for file in files if index.entry(str(file))]
    present[2].unlink()
    assert nonzero(index.sync([photos])) == {"embedded": 5, "unchanged": 6, "deleted": 1}
    assert index.encoder.card.whitened == 12
    assert_own_keys(index, [file for file in files if file.exists()])


def test_keys_from_elsewhere_prevent_a_fit(index, general, photos, files, monkeypatch):
    answers = iter([False] * 6)
    index.sync([photos], stopped=lambda: next(answers, True))
    file = next(file for file in files if not index.entry(str(file)))
    index.add([file])
    index.sync([photos])
    assert index.encoder.card == general.card
    assert_own_keys(index, files)


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
    assert_own_keys(index, files)


def test_a_reader_gets_the_new_encoder_at_its_next_refresh(index, general, photos, files):
    with ThreadPoolExecutor(1) as reader:

        def card() -> Card:
            return reader.submit(lambda: index.encoder.card).result()

        assert card() == general.card
        index.sync([photos])
        assert card() == general.card
        reader.submit(index.refresh).result()
        assert card() == index.encoder.card != general.card


def test_the_original_encoder_still_matches_the_index(index, general, photos, files, encoder):
    index.sync([photos])
    folder, card = index.store.folder, index.encoder.card
    index.close()
    with Index.create(folder, general) as again:
        assert again.encoder.card == card
    other = Encoder(replace(encoder.card, fingerprint="other"), encoder.graph, encoder.weights)
    with pytest.raises(Mismatch):
        Index.create(folder, other)


def test_a_second_generation_fits_it_on_all_photos(index, general, photos, files, fill):
    index.sync([photos])
    more = fill(photos, range(20, 50))
    index.sync([photos])
    index.renew(general)
    assert index.encoder.card.whitened == 42
    assert_own_keys(index, [*files, *more])


def test_photos_added_in_the_meantime_keep_their_encoder(index, photos, files):
    index.add(files[:1])
    with pytest.raises(Busy):
        index.store.write(lambda txn: replace_encoder(txn, index.encoder))


def test_slow_photos_are_committed_after_a_while(index, photos, files, monkeypatch):
    """Otherwise a crash would lose everything read until then."""
    monkeypatch.setattr(embed, "COMMIT_SECONDS", 0.0)
    counts = []
    index.sync([photos], stopped=lambda: counts.append(index.store.read) or len(counts) == 3)
    assert len(index) == 3
    index.sync([photos])
    assert_own_keys(index, files)
