import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from answers import ask, assert_found, seen, stored, told

from indexes import Index
from indexes.store.environment import Store
from indexes.sync import embed
from indexes.sync import sync as syncing
from mocosearch.errors import NotFound
from mocosearch.photos import decode

pytestmark = pytest.mark.usefixtures("read")


def test_every_photo_finds_itself(index, photos, fill):
    files = fill(photos, range(40))
    counts = index.sync([photos])
    assert told(counts) == {"embedded": 40}
    assert not counts.interrupted
    assert_found(index, *files)


def test_a_second_run_opens_nothing(index, photos, fill, read):
    files = fill(photos, range(5))
    index.sync([photos])
    read.clear()
    assert told(index.sync([photos])) == {"unchanged": 5}
    assert read == []
    assert index.info()["segments"] == 1
    assert_found(index, *files)


def test_new_photos_join(index, photos, fill):
    files = fill(photos, range(4))
    index.sync([photos])
    files += fill(photos, range(4, 7))
    assert told(index.sync([photos])) == {"embedded": 3, "unchanged": 4}
    assert_found(index, *files)


def test_a_changed_photo_answers_as_it_is_now(index, photos, fill, picture):
    files = fill(photos, range(4))
    index.sync([photos])
    old = files[1].read_bytes()
    picture(77).save(files[1])
    assert told(index.sync([photos])) == {"embedded": 1, "unchanged": 3}
    assert_found(index, *files)
    aside = photos.parent / "old.jpg"
    aside.write_bytes(old)
    assert all(m.score < 0.98 for m in ask(index, aside, 10))
    assert stored(index) == {"paths": 4, "images": 4, "vectors": 4, "digests": 4, "refused": 0}


def test_a_touched_photo_keeps_its_key(index, photos, fill):
    (file,) = fill(photos, [1])
    index.sync([photos])
    id = ask(index, file)[0].id
    os.utime(file, ns=(1, 1))
    assert told(index.sync([photos])) == {"moved": 1}
    assert told(index.sync([photos])) == {"unchanged": 1}
    assert ask(index, file)[0].id == id


def test_a_renamed_photo_is_not_embedded_again(index, photos, fill):
    files = fill(photos, range(3))
    index.sync([photos])
    id = ask(index, files[0])[0].id
    new = files[0].rename(photos / "sub.jpg")
    assert told(index.sync([photos])) == {"moved": 1, "unchanged": 2}
    best = ask(index, new)[0]
    assert (best.id, best.record.paths) == (id, [str(new)])


def test_a_renamed_folder(index, photos, fill):
    files = fill(photos / "a", range(3))
    index.sync([photos])
    (photos / "a").rename(photos / "b")
    assert told(index.sync([photos])) == {"moved": 3}
    assert_found(index, *(photos / "b" / f.name for f in files))
    assert stored(index)["paths"] == 3


@pytest.mark.parametrize("at_once", [False, True])
def test_a_copy_is_a_second_path_of_one_key(index, photos, fill, at_once):
    (file,) = fill(photos, [1])
    if not at_once:
        index.sync([photos])
    shutil.copy(file, photos / "copy.jpg")
    counts = index.sync([photos])
    assert seen(counts) == 2
    (best,) = ask(index, file, 10)
    assert sorted(best.record.paths) == [str(file), str(photos / "copy.jpg")]
    assert stored(index)["vectors"] == 1
    if not at_once:
        assert told(counts) == {"moved": 1, "unchanged": 1}


def test_one_of_two_copies_goes(index, photos, fill):
    (file,) = fill(photos, [1])
    shutil.copy(file, photos / "copy.jpg")
    index.sync([photos])
    file.unlink()
    assert told(index.sync([photos])) == {"unchanged": 1}
    assert_found(index, photos / "copy.jpg")
    assert ask(index, photos / "copy.jpg")[0].record.paths == [str(photos / "copy.jpg")]


def test_a_deleted_photo_is_gone(index, photos, fill):
    files = fill(photos, range(30))
    index.sync([photos])
    gone = photos.parent / "gone.jpg"
    files[3].rename(gone)
    assert told(index.sync([photos])) == {"deleted": 1, "unchanged": 29}
    assert index.txn.count("deleted") == 1
    assert str(files[3]) not in {p for m in ask(index, gone, 30) for p in m.record.paths}
    assert len(ask(index, gone, 99)) == 29
    for file in files[4:10]:
        file.unlink()
    index.sync([photos])
    assert index.txn.count("deleted") == 0
    assert len(ask(index, gone, 99)) == 23
    assert_found(index, *files[10:])


def test_a_photo_that_comes_back(index, photos, fill):
    files = fill(photos, range(3))
    index.sync([photos])
    aside = files[0].rename(photos.parent / "aside.jpg")
    index.sync([photos])
    aside.rename(files[0])
    assert told(index.sync([photos])) == {"embedded": 1, "unchanged": 2}
    assert_found(index, *files)


def test_ids_are_never_used_again(index, photos, fill):
    used: list[int] = []
    for run in range(4):
        for file in photos.iterdir():
            file.unlink()
        fill(photos, range(run * 3, run * 3 + 3))
        index.sync([photos])
        used += [m.id for m in ask(index, next(photos.iterdir()), 99)]
    assert len(used) == len(set(used)) == 12
    assert used[-1] > 0


def rename_onto(photos: Path) -> None:
    (photos / "0000.jpg").rename(photos / "0001.jpg")


def swap(photos: Path) -> None:
    (photos / "0000.jpg").rename(photos / "x.jpg")
    (photos / "0001.jpg").rename(photos / "0000.jpg")
    (photos / "x.jpg").rename(photos / "0001.jpg")


def shift(photos: Path) -> None:
    for n in (2, 1, 0):
        (photos / f"{n:04}.jpg").rename(photos / f"{n + 1:04}.jpg")


def replaced(photos: Path) -> None:
    """The photo moves on, and a new one takes its old name."""
    (photos / "0000.jpg").rename(photos / "moved.jpg")
    shutil.copy(photos.parent / "spare" / "0050.jpg", photos / "0000.jpg")


def overwritten_by_a_copy(photos: Path) -> None:
    shutil.copy(photos / "0000.jpg", photos / "0001.jpg")


def spoilt(photos: Path) -> None:
    """The photo moves on, and rubbish takes its old name."""
    (photos / "0000.jpg").rename(photos / "moved.jpg")
    (photos / "0000.jpg").write_bytes(b"\xff\xd8\xff")


RENAMES = [rename_onto, swap, shift, replaced, overwritten_by_a_copy, spoilt]


@pytest.mark.parametrize("change", RENAMES)
@pytest.mark.parametrize("keep_times", [False, True])
def test_names_that_change_hands(index, photos, fill, change: Callable, keep_times):
    """After one run every name stands for what it holds now, and no photo is lost."""
    for n, file in enumerate(fill(photos, range(3))):
        os.utime(file, ns=(n, n + 1))
    fill(photos.parent / "spare", [50])
    index.sync([photos])
    change(photos)
    if not keep_times:
        for file in photos.iterdir():
            os.utime(file)
    counts = index.sync([photos])
    files = [f for f in photos.iterdir() if f.stat().st_size > 100]
    assert seen(counts) == len(list(photos.iterdir()))
    assert_found(index, *files)
    paths = [p for m in ask(index, files[0], 99) for p in m.record.paths]
    assert sorted(paths) == sorted(map(str, files))


@pytest.mark.parametrize("change", RENAMES)
def test_names_that_change_hands_are_right_after_another_run(index, photos, fill, change):
    fill(photos, range(3))
    fill(photos.parent / "spare", [50])
    index.sync([photos])
    change(photos)
    for _ in range(2):
        for n, file in enumerate(photos.iterdir()):
            os.utime(file, ns=(n, time.time_ns()))
        index.sync([photos])
    files = [f for f in photos.iterdir() if f.stat().st_size > 100]
    assert_found(index, *files)
    assert told(index.sync([photos]))["unchanged"] == len(files)


def test_small_transactions_end_as_one(index, photos, fill, monkeypatch):
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 2)
    monkeypatch.setattr(embed, "COMMITTED_AT_ONCE", 3)
    files = fill(photos, range(40))
    assert told(index.sync([photos])) == {"embedded": 40}
    assert index.info()["segments"] <= 8
    assert_found(index, *files)


def test_many_runs_answer_as_brute_force(index, photos, fill, encoder):
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
    for row, found in zip(scores, index.query(keys, 10), strict=True):
        wanted = np.sort(row)[::-1][:10]
        np.testing.assert_allclose([m.score for m in found], wanted, atol=2e-3)
    assert_found(index, *files)


def test_stopping_keeps_what_is_read(index, photos, fill, read):
    files = fill(photos, range(12))
    counts = index.sync([photos], stopped=lambda: len(read) >= 5)
    assert counts.interrupted
    assert counts.embedded == index.info()["images"] == 5
    assert_found(index, *files[:5])
    assert told(index.sync([photos])) == {"embedded": 7, "unchanged": 5}
    assert_found(index, *files)


def test_stopping_deletes_nothing(index, photos, fill):
    files = fill(photos, range(4))
    index.sync([photos])
    files[0].unlink()
    fill(photos, [9])
    assert index.sync([photos], stopped=lambda: True).deleted == 0
    assert stored(index)["paths"] >= 4


def test_a_failure_keeps_what_is_committed(index, photos, fill, monkeypatch):
    files = fill(photos, range(9))
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 2)
    monkeypatch.setattr(embed, "COMMITTED_AT_ONCE", 4)
    asked = []

    def stopped() -> bool:
        asked.append(1)
        if len(asked) == 7:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        index.sync([photos], stopped=stopped)
    index.refresh()
    kept = index.info()["images"]
    assert 0 < kept < 9
    assert_found(index, *files[:kept])
    index.sync([photos])
    assert_found(index, *files)


def test_several_roots_share_an_index(index, photos, fill):
    one, two = photos / "one", photos / "two"
    files = fill(one, range(3)) + fill(two, range(3, 6))
    index.sync([one])
    assert told(index.sync([two])) == {"embedded": 3}
    assert_found(index, *files)
    assert index.info()["roots"] == [str(one), str(two)]


def test_another_root_loses_nothing(index, photos, fill):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 6))
    index.sync([one, two])
    shutil.rmtree(one)
    assert told(index.sync([two])) == {"unchanged": 3}
    assert stored(index)["paths"] == 6


@pytest.mark.parametrize("others", [False, True])
def test_an_empty_root_looks_like_a_disk_that_is_not_mounted(index, photos, fill, others):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 6))
    index.sync([one, two])
    shutil.rmtree(one)
    one.mkdir()
    assert index.sync([one, two] if others else [one]).deleted == 0
    assert stored(index)["paths"] == 6


@pytest.mark.parametrize("left", ["a link to nowhere", "nothing", "an empty folder"])
def test_a_disk_below_a_root_that_is_unplugged(index, photos, fill, another_disk, left):
    fill(photos, range(2))
    fill(another_disk, range(2, 5))
    (photos / "disk").symlink_to(another_disk)
    assert told(index.sync([photos])) == {"embedded": 5}
    another_disk.rename(another_disk.with_name("unplugged"))
    if left != "a link to nowhere":
        (photos / "disk").unlink()
    if left == "an empty folder":
        (photos / "disk").mkdir()
    for _ in range(2):
        counts = index.sync([photos])
        assert (counts.deleted, counts.unchanged) == (0, 2)
        assert counts.absent == [str(photos / "disk")]
    if left == "an empty folder":
        (photos / "disk").rmdir()
    if left != "a link to nowhere":
        (photos / "disk").symlink_to(another_disk)
    another_disk.with_name("unplugged").rename(another_disk)
    assert told(index.sync([photos])) == {"unchanged": 5}
    next(another_disk.iterdir()).unlink()
    assert told(index.sync([photos])) == {"unchanged": 4, "deleted": 1}
    (photos / "disk").unlink()
    assert told(index.sync([photos], prune=True)) == {"unchanged": 2, "deleted": 2}
    assert index.sync([photos]).absent == []


def test_a_folder_that_was_emptied_is_no_disk(index, photos, fill):
    fill(photos, range(2))
    fill(photos / "trip", range(2, 4))
    index.sync([photos])
    for file in (photos / "trip").iterdir():
        file.unlink()
    assert told(index.sync([photos])) == {"unchanged": 2, "deleted": 2}


def test_a_missing_root(index, photos, fill):
    fill(photos, range(2))
    with pytest.raises(NotFound):
        index.sync([photos, photos / "nowhere"])
    assert stored(index)["paths"] == 0


def test_progress_reaches_the_end(index, photos, fill):
    fill(photos, range(3))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    said = []
    index.sync([photos], report=said.append)
    assert (said[-1].done, said[-1].total, said[-1].skipped) == (4, 4, 1)


def test_nothing_at_all(index, photos):
    assert told(index.sync([photos])) == {}
    assert index.query(np.zeros((1, index.encoder.dimension), np.float32)) == [[]]


def test_the_map_grows_while_a_run_reads(index, photos, fill):
    """An index that is at the end of its map when a run begins."""
    files = fill(photos, range(30))
    data = index.store.folder / "data.mdb"
    limit = data.stat().st_size + 16384
    index.store.env.set_mapsize(limit)
    assert told(index.sync([photos])) == {"embedded": 30}
    assert index.store.env.info()["map_size"] > limit
    assert_found(index, *files)


def test_runs_without_change_do_not_swell_the_file(index, photos, fill):
    fill(photos, range(6))
    data = index.store.folder / "data.mdb"
    sizes = []
    for run in range(6):
        for file in photos.iterdir():
            os.utime(file, ns=(run, run))
        index.sync([photos])
        sizes.append(data.stat().st_size)
    assert sizes[-1] <= sizes[1] + 64 * 4096


def test_a_run_holds_no_old_snapshot_while_it_writes(index, photos, fill, monkeypatch):
    """Under one no page is free again, and the file swells with every commit."""
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 1)
    monkeypatch.setattr(embed, "COMMITTED_AT_ONCE", 1)
    behind = []
    write = Store.write

    def watched(self, change):
        readers = [line.split() for line in self.env.readers().splitlines()[1:]]
        last = self.env.info()["last_txnid"]
        behind.extend(last - int(r[2]) for r in readers if r[2].isdigit())
        return write(self, change)

    fill(photos, range(4))
    monkeypatch.setattr(Store, "write", watched)
    index.sync([photos])
    assert max(behind, default=0) <= 1


def test_the_environment_is_closed(encoder, tmp_path):
    index = Index.create(tmp_path / "index", encoder)
    index.close()
    with pytest.raises(lmdb.Error):
        index.store.env.begin()


def test_a_disk_that_goes_during_the_look_takes_nothing_along(index, photos, fill, monkeypatch):
    files = fill(photos, range(3))
    index.sync([photos])
    looked = syncing.present_and_absent

    def then_gone(*words):
        found = looked(*words)
        shutil.move(photos, photos.with_name("elsewhere"))
        photos.mkdir()
        return found

    monkeypatch.setattr(syncing, "present_and_absent", then_gone)
    counts = index.sync([photos])
    assert (counts.deleted, counts.absent) == (0, [str(photos)])
    assert len(index) == len(files)


def test_a_file_replaced_with_size_and_mtime_kept_is_read_again(index, photos, fill, read):
    files = fill(photos, range(3))
    index.sync([photos])
    status, size = files[1].stat(), files[1].stat().st_size
    data = bytearray(files[2].read_bytes()[:size])
    data += bytes(size - len(data))
    files[1].write_bytes(data)
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (files[1].stat().st_size, files[1].stat().st_mtime_ns) == (size, status.st_mtime_ns)
    read.clear()
    assert told(index.sync([photos])) == {"embedded": 1, "unchanged": 2}
    assert_found(index, *files)
    files[0].chmod(0o600)
    assert told(index.sync([photos])) == {"moved": 1, "unchanged": 2}
    assert told(index.sync([photos])) == {"unchanged": 3}
