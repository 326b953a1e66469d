"""Another encoder: a second generation of keys, beside the first until it is complete."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from answers import assert_best_match, nonzero
from light import light, read_in_process, use_light_encoders

from indexes import Index, generation
from indexes.generation import unfinished_generations
from indexes.search import merging
from indexes.sync import embed
from indexes.verify import look
from mocosearch.encoder import Encoder
from mocosearch.errors import NotFound, StorageFailed, Unsuitable

OLD, NEW, NEWER = light(1), light(2), light(3)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    use_light_encoders(monkeypatch)
    monkeypatch.setattr(embed, "read_photos", read_in_process)
    monkeypatch.setattr(embed, "COMMIT_BATCH", 2)


@pytest.fixture
def files(photos, fill):
    return fill(photos, range(8))


@pytest.fixture
def index(tmp_path, photos, files):
    shutil.copy(files[0], photos / "copy.jpg")
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    with Index.create(tmp_path / "index", OLD) as opened:
        opened.sync([photos])
        yield opened


def stop_after(calls: int):
    """A `stopped` that is true after so many calls."""
    answers = iter([False] * calls)
    return lambda: next(answers, True)


def test_every_photo_gets_a_key_of_the_new_encoder(index, photos, files):
    before = {match.id for match in index.query(np.eye(1, OLD.dimension, dtype="f4"), 99)[0]}
    counts = index.renew(NEW)
    assert nonzero(counts) == {"embedded": 8, "moved": 1, "skipped": 1}
    assert index.encoder.fingerprint == NEW.fingerprint
    assert_best_match(index, *files, photos / "copy.jpg")
    after = {match.id for match in index.query(np.eye(1, NEW.dimension, dtype="f4"), 99)[0]}
    assert len(after) == 8
    assert min(after) > max(before)
    assert list(look(index)) == []
    assert unfinished_generations(index.store.folder) == []
    assert nonzero(index.sync([photos])) == {"unchanged": 9, "skipped": 1}


def test_settings_of_the_user_are_kept(index):
    index.configure("HNSW8", 0.9)
    index.store.write(lambda txn: txn.put("meta", b"not_copies", b'[["00", "01"]]'))
    roots = index.roots
    index.renew(NEW)
    with index.store.read() as txn:
        assert (merging.plan(txn).kind, merging.plan(txn).recall) == ("HNSW8", 0.9)
        assert bytes(txn.get("meta", b"not_copies")) == b'[["00", "01"]]'
    assert index.roots == roots
    assert index.info()["kind_asked"] == "HNSW8"


def test_the_old_index_answers_until_the_end(index, files):
    outcome = []

    def report(progress):
        assert index.encoder.fingerprint == OLD.fingerprint
        assert_best_match(index, *files)
        outcome.append(progress.done)

    index.renew(NEW, report=report)
    assert outcome[-1] == 10


def test_a_stopped_run_is_continued(index, files):
    first = index.renew(NEW, stopped=stop_after(3))
    assert first.interrupted
    assert 0 < first.embedded < 8
    assert index.encoder.fingerprint == OLD.fingerprint
    assert_best_match(index, *files)
    assert len(unfinished_generations(index.store.folder)) == 1
    second = index.renew(NEW)
    assert first.embedded + second.embedded == 8
    assert second.unchanged == first.embedded + first.moved
    assert_best_match(index, *files)


def test_changes_between_a_stop_and_the_next_run(index, photos, files, fill, picture):
    index.renew(NEW, stopped=stop_after(5))
    (photos / "copy.jpg").unlink()
    files[1].unlink()
    picture(77).save(files[2])
    more = fill(photos, range(20, 22))
    index.sync([photos])
    assert index.encoder.fingerprint == OLD.fingerprint
    counts = index.renew(NEW)
    assert counts.embedded + counts.unchanged == 9
    assert_best_match(index, files[0], *files[2:], *more)
    assert list(look(index)) == []
    assert len(index) == 9


def test_no_id_is_in_both_generations(index, photos, files, fill):
    """Not even if photos were added between a stop and the next run."""
    index.renew(NEW, stopped=stop_after(5))
    index.sync([photos, *(f.parent for f in fill(photos.with_name("more"), range(30, 34)))])
    before = {match.id for match in index.query(np.eye(1, OLD.dimension, dtype="f4"), 99)[0]}
    index.renew(NEW)
    after = {match.id for match in index.query(np.eye(1, NEW.dimension, dtype="f4"), 99)[0]}
    assert (len(before), len(after), before & after) == (12, 12, set())


def test_no_snapshot_stays_open_during_a_renewal(index, monkeypatch):
    """With one open, no page is freed, and the file grows."""
    readers, embed = [], generation.embed

    def list_readers(store, *args):
        readers.append([line.split()[2] for line in store.env.readers().splitlines()[1:]])
        embed(store, *args)

    monkeypatch.setattr(generation, "embed", list_readers)
    index.renew(NEW)
    assert readers == [["-"] * len(readers[0])]


def test_deleted_files_are_left_out_and_counted(index, files):
    files[0].unlink()
    files[3].unlink()
    assert index.renew(NEW).deleted == 1
    assert len(index) == 7


def test_a_third_encoder_starts_again(index):
    index.renew(NEW, stopped=stop_after(3))
    assert index.renew(NEWER).embedded == 8
    assert index.encoder.fingerprint == NEWER.fingerprint
    assert unfinished_generations(index.store.folder) == []


@pytest.mark.parametrize("damage", [b"", b"garbage" * 9999])
def test_a_damaged_second_generation_starts_again(index, files, damage):
    index.renew(NEW, stopped=stop_after(3))
    (folder,) = unfinished_generations(index.store.folder)
    (folder / "data.mdb").write_bytes(damage)
    assert index.renew(NEW).embedded == 8
    assert_best_match(index, *files)


def test_folders_that_moved_in_between_start_again(index, photos, tmp_path):
    index.renew(NEW, stopped=stop_after(3))
    photos.rename(tmp_path / "elsewhere")
    index.move(photos, tmp_path / "elsewhere")
    assert index.renew(NEW).embedded == 8
    assert index.roots.places == {1: str(tmp_path / "elsewhere")}
    assert list(look(index)) == []


def test_a_missing_folder_keeps_the_old_keys(index, photos, tmp_path):
    photos.rename(tmp_path / "unplugged")
    with pytest.raises(NotFound, match="new keys") as error:
        index.renew(NEW)
    assert "--prune" in error.value.hint
    assert (len(index), index.encoder.fingerprint) == (8, OLD.fingerprint)
    assert index.renew(NEW, prune=True).deleted == 8
    assert len(index) == 0


def test_an_unplugged_disk_below_a_root_keeps_the_old_keys(index, photos, fill, another_disk):
    fill(another_disk, range(20, 23))
    (photos / "disk").symlink_to(another_disk)
    index.sync([photos])
    unplugged = another_disk.with_name("unplugged")
    another_disk.rename(unplugged)
    with pytest.raises(NotFound, match="disk: missing or empty"):
        index.renew(NEW)
    assert (len(index), index.encoder.fingerprint) == (11, OLD.fingerprint)
    unplugged.rename(another_disk)
    index.renew(NEW)
    assert (len(index), index.encoder.fingerprint) == (11, NEW.fingerprint)
    another_disk.rename(unplugged)
    counts = index.sync([photos])
    assert (counts.deleted, counts.absent) == (0, [str(photos / "disk")])
    assert index.renew(OLD, prune=True).deleted == 3
    assert index.sync([photos], prune=True).deleted == 0
    assert index.sync([photos]).absent == []


def test_a_disk_unplugged_during_the_run_keeps_the_old_keys(index, photos, tmp_path):
    def unplug(progress):
        if photos.exists():
            photos.rename(tmp_path / "unplugged")

    with pytest.raises(NotFound, match="new keys"):
        index.renew(NEW, report=unplug)
    assert (len(index), index.encoder.fingerprint) == (8, OLD.fingerprint)
    (tmp_path / "unplugged").rename(photos)
    index.renew(NEW)
    assert index.encoder.fingerprint == NEW.fingerprint


def test_a_kind_that_does_not_fit_the_new_keys(index, monkeypatch):
    index.configure("IVF2,PQ12")
    odd = Encoder(NEW.card.__class__(**{**vars(NEW.card), "dimension": 23}), b"graph", b"2")
    with pytest.raises(Unsuitable):
        index.renew(odd)
    assert index.encoder.fingerprint == OLD.fingerprint


def test_a_failing_replacement_keeps_the_old_index(index, files, monkeypatch):
    data, replace = index.store.folder / "data.mdb", os.replace

    def full(old, new):
        if Path(new) == data:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageFailed, match="no disk space left"):
        index.renew(NEW)
    with Index.open(index.store.folder) as again:
        assert again.encoder.fingerprint == OLD.fingerprint
        assert_best_match(again, *files)
