"""After `sync` the index holds the photos of its folders, whatever changed."""

import os
import shutil

import lmdb
import numpy as np
import pytest
from answers import assert_best_match, entry_counts, nonzero, query_photo, total

from indexes import Index
from indexes.store.environment import Store
from indexes.sync import embed
from indexes.sync import sync as sync_module
from mocosearch.photos import decode

pytestmark = pytest.mark.usefixtures("reads")


def test_every_photo_is_its_own_best_match(index, photos, fill):
    files = fill(photos, range(40))
    counts = index.sync([photos])
    assert nonzero(counts) == {"embedded": 40}
    assert not counts.interrupted
    assert_best_match(index, *files)


def test_a_second_run_opens_no_file(index, photos, fill, reads):
    files = fill(photos, range(5))
    index.sync([photos])
    reads.clear()
    assert nonzero(index.sync([photos])) == {"unchanged": 5}
    assert reads == []
    assert index.info()["segments"] == 1
    assert_best_match(index, *files)


def test_new_photos_are_added(index, photos, fill):
    files = fill(photos, range(4))
    index.sync([photos])
    files += fill(photos, range(4, 7))
    assert nonzero(index.sync([photos])) == {"embedded": 3, "unchanged": 4}
    assert_best_match(index, *files)


def test_a_changed_photo_gets_a_new_key(index, photos, fill, picture):
    files = fill(photos, range(4))
    index.sync([photos])
    old = files[1].read_bytes()
    picture(77).save(files[1])
    assert nonzero(index.sync([photos])) == {"embedded": 1, "unchanged": 3}
    assert_best_match(index, *files)
    backup = photos.parent / "old.jpg"
    backup.write_bytes(old)
    assert all(m.score < 0.98 for m in query_photo(index, backup, 10))
    assert entry_counts(index) == {
        "paths": 4,
        "images": 4,
        "vectors": 4,
        "digests": 4,
        "refused": 0,
    }


def test_a_touched_photo_keeps_its_key(index, photos, fill, reads):
    (file,) = fill(photos, [1])
    index.sync([photos])
    id = query_photo(index, file)[0].id
    os.utime(file, ns=(1, 1))
    reads.clear()
    for _ in range(2):
        assert nonzero(index.sync([photos])) == {"unchanged": 1}
    assert reads == []
    assert query_photo(index, file)[0].id == id


def test_a_renamed_photo_is_not_embedded_again(index, photos, fill):
    files = fill(photos, range(3))
    index.sync([photos])
    id = query_photo(index, files[0])[0].id
    new = files[0].rename(photos / "sub.jpg")
    assert nonzero(index.sync([photos])) == {"moved": 1, "unchanged": 2}
    best = query_photo(index, new)[0]
    assert (best.id, best.record.paths) == (id, [str(new)])


def test_a_renamed_folder(index, photos, fill):
    files = fill(photos / "a", range(3))
    index.sync([photos])
    (photos / "a").rename(photos / "b")
    assert nonzero(index.sync([photos])) == {"moved": 3}
    assert_best_match(index, *(photos / "b" / f.name for f in files))
    assert entry_counts(index)["paths"] == 3


@pytest.mark.parametrize("at_once", [False, True])
def test_a_copy_is_a_second_path_of_one_key(index, photos, fill, at_once):
    (file,) = fill(photos, [1])
    if not at_once:
        index.sync([photos])
    shutil.copy(file, photos / "copy.jpg")
    counts = index.sync([photos])
    assert total(counts) == 2
    (best,) = query_photo(index, file, 10)
    assert sorted(best.record.paths) == [str(file), str(photos / "copy.jpg")]
    assert entry_counts(index)["vectors"] == 1
    if not at_once:
        assert nonzero(counts) == {"moved": 1, "unchanged": 1}


def test_deleting_one_of_two_copies(index, photos, fill):
    (file,) = fill(photos, [1])
    shutil.copy(file, photos / "copy.jpg")
    index.sync([photos])
    file.unlink()
    assert nonzero(index.sync([photos])) == {"unchanged": 1}
    assert_best_match(index, photos / "copy.jpg")
    assert query_photo(index, photos / "copy.jpg")[0].record.paths == [str(photos / "copy.jpg")]


def test_a_deleted_photo_is_removed(index, photos, fill):
    files = fill(photos, range(30))
    index.sync([photos])
    deleted = photos.parent / "deleted.jpg"
    files[3].rename(deleted)
    assert nonzero(index.sync([photos])) == {"deleted": 1, "unchanged": 29}
    assert index.txn.count("deleted") == 1
    assert str(files[3]) not in {p for m in query_photo(index, deleted, 30) for p in m.record.paths}
    assert len(query_photo(index, deleted, 99)) == 29
    for file in files[4:10]:
        file.unlink()
    index.sync([photos])
    assert index.txn.count("deleted") == 0
    assert len(query_photo(index, deleted, 99)) == 23
    assert_best_match(index, *files[10:])


def test_a_deleted_photo_that_comes_back(index, photos, fill):
    files = fill(photos, range(3))
    index.sync([photos])
    away = files[0].rename(photos.parent / "away.jpg")
    index.sync([photos])
    away.rename(files[0])
    assert nonzero(index.sync([photos])) == {"embedded": 1, "unchanged": 2}
    assert_best_match(index, *files)


def test_ids_are_never_reused(index, photos, fill):
    ids: list[int] = []
    for run in range(4):
        for file in photos.iterdir():
            file.unlink()
        fill(photos, range(run * 3, run * 3 + 3))
        index.sync([photos])
        ids += [m.id for m in query_photo(index, next(photos.iterdir()), 99)]
    assert len(ids) == len(set(ids)) == 12
    assert ids[-1] > 0


def test_small_transactions_give_the_same_index(index, photos, fill, monkeypatch):
    monkeypatch.setattr(embed, "COMMIT_BATCH", 3)
    files = fill(photos, range(40))
    assert nonzero(index.sync([photos])) == {"embedded": 40}
    assert index.info()["segments"] <= 8
    assert_best_match(index, *files)


def test_queries_after_many_runs_equal_brute_force(index, photos, fill, encoder):
    rng = np.random.default_rng(5)
    for run in range(12):
        fill(photos, range(run * 3, run * 3 + 3))
        files = sorted(photos.iterdir())
        if run % 3 == 2:
            files.pop(int(rng.integers(len(files)))).unlink()
        index.sync([photos])
        assert index.info()["segments"] <= 8
    pixels = np.stack([decode(f.read_bytes(), encoder.side).pixels for f in files])
    keys = encoder.encode(pixels)
    scores = keys @ keys.astype(np.float16).astype(np.float32).T
    for row, matches in zip(scores, index.query(keys, 10), strict=True):
        best = np.sort(row)[::-1][:10]
        np.testing.assert_allclose([m.score for m in matches], best, atol=2e-3)
    assert_best_match(index, *files)


def test_stopping_keeps_the_photos_read_so_far(index, photos, fill, reads):
    files = fill(photos, range(12))
    counts = index.sync([photos], stopped=lambda: len(reads) >= 5)
    assert counts.interrupted
    assert counts.embedded == index.info()["images"] == 5
    assert_best_match(index, *files[:5])
    assert nonzero(index.sync([photos])) == {"embedded": 7, "unchanged": 5}
    assert_best_match(index, *files)


def test_stopping_deletes_nothing(index, photos, fill):
    files = fill(photos, range(4))
    index.sync([photos])
    files[0].unlink()
    fill(photos, [9])
    assert index.sync([photos], stopped=lambda: True).deleted == 0
    assert entry_counts(index)["paths"] >= 4


def test_a_failure_keeps_the_commits_before_it(index, photos, fill, monkeypatch):
    files = fill(photos, range(9))
    monkeypatch.setattr(embed, "COMMIT_BATCH", 4)
    calls = []

    def stopped() -> bool:
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        index.sync([photos], stopped=stopped)
    index.refresh()
    images = index.info()["images"]
    assert 0 < images < 9
    assert_best_match(index, *files[:images])
    index.sync([photos])
    assert_best_match(index, *files)


def test_progress_reaches_the_end(index, photos, fill):
    fill(photos, range(3))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    reports = []
    index.sync([photos], report=reports.append)
    last = reports[-1]
    assert (last.done, last.total, last.skipped) == (4, 4, 1)


def test_an_empty_folder_and_an_empty_index(index, photos):
    assert nonzero(index.sync([photos])) == {}
    assert index.query(np.zeros((1, index.encoder.dimension), np.float32)) == [[]]


def test_the_map_grows_during_a_run(index, photos, fill):
    """The index has almost filled its map when the run starts."""
    files = fill(photos, range(30))
    data = index.store.folder / "data.mdb"
    limit = data.stat().st_size + 16384
    index.store.env.set_mapsize(limit)
    assert nonzero(index.sync([photos])) == {"embedded": 30}
    assert index.store.env.info()["map_size"] > limit
    assert_best_match(index, *files)


def test_runs_without_changes_do_not_grow_the_file(index, photos, fill):
    fill(photos, range(6))
    data = index.store.folder / "data.mdb"
    sizes = []
    for run in range(6):
        for file in photos.iterdir():
            os.utime(file, ns=(run, run))
        index.sync([photos])
        sizes.append(data.stat().st_size)
    assert sizes[-1] <= sizes[1] + 64 * 4096


def test_no_old_snapshot_stays_open_during_writes(index, photos, fill, monkeypatch):
    """With one open, no page is freed, and the file grows with every commit."""
    monkeypatch.setattr(embed, "COMMIT_BATCH", 1)
    lags = []
    write = Store.write

    def write_and_measure(self, change):
        readers = [line.split() for line in self.env.readers().splitlines()[1:]]
        last = self.env.info()["last_txnid"]
        lags.extend(last - int(r[2]) for r in readers if r[2].isdigit())
        return write(self, change)

    fill(photos, range(4))
    monkeypatch.setattr(Store, "write", write_and_measure)
    index.sync([photos])
    assert max(lags, default=0) <= 1


def test_close_ends_the_environment(encoder, tmp_path):
    index = Index.create(tmp_path / "index", encoder)
    index.close()
    with pytest.raises(lmdb.Error):
        index.store.env.begin()


def test_a_file_replaced_under_the_same_size_and_mtime_is_read_again(index, photos, fill, reads):
    files = fill(photos, range(3))
    index.sync([photos])
    status, size = files[1].stat(), files[1].stat().st_size
    data = bytearray(files[2].read_bytes()[:size])
    data += bytes(size - len(data))
    files[1].write_bytes(data)
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (files[1].stat().st_size, files[1].stat().st_mtime_ns) == (size, status.st_mtime_ns)
    reads.clear()
    assert nonzero(index.sync([photos])) == {"embedded": 1, "unchanged": 2}
    assert_best_match(index, *files)
    reads.clear()
    files[0].chmod(0o600)
    assert nonzero(index.sync([photos])) == {"unchanged": 3}
    assert reads == []
    assert nonzero(index.sync([photos])) == {"unchanged": 3}


def test_a_scan_that_is_stopped_deletes_nothing(index, photos, fill, monkeypatch):
    files = fill(photos, range(6))
    index.sync([photos])
    files[0].unlink()
    monkeypatch.setattr(sync_module, "STOP_SECONDS", -1.0)
    answers = iter([False] * 2)
    counts = index.sync([photos], stopped=lambda: next(answers, True))
    assert counts.interrupted
    assert (counts.unchanged, counts.deleted, len(index)) == (2, 0, 6)
    assert index.sync([photos]).deleted == 1
