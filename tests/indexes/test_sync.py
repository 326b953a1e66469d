import importlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import ExifTags, Image

from indexes import Counts, Index, sync
from indexes.store import Store
from mocosearch.errors import NotFound
from mocosearch.photos import decode, scan
from mocosearch.photos.worker import outcome_of

# The package gives the function the module's name.
syncing = importlib.import_module("indexes.sync")


@pytest.fixture
def index(encoder, tmp_path):
    with Index.create(tmp_path / "index", encoder) as opened:
        yield opened


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the files that were opened; they are read in this process, for speed."""
    seen: list[str] = []

    def here(files, side, workers=None):
        for found in files:
            seen.append(os.path.basename(found.path))
            yield found, outcome_of(found.path, side)

    monkeypatch.setattr(syncing, "outcomes", here)
    return seen


pytestmark = pytest.mark.usefixtures("read")


def told(counts: Counts) -> dict[str, int]:
    names = ("embedded", "unchanged", "moved", "deleted", "refused", "not_pictures")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def seen(counts: Counts) -> int:
    return sum(n for name, n in told(counts).items() if name != "deleted")


def ask(index: Index, file: Path, k: int = 1):
    pixels = decode(file.read_bytes(), index.encoder.side).pixels
    return index.query(index.encoder.encode(pixels[None]), k)[0]


def assert_found(index: Index, *files: Path) -> None:
    """Each photo is its own best answer, and under its own name."""
    for file in files:
        best = ask(index, file)[0]
        assert best.score >= 0.98, file
        assert str(file) in best.record.paths, file


def stored(index: Index) -> dict[str, int]:
    return {m: index.txn.count(m) for m in ("paths", "images", "vectors", "digests", "refused")}


def test_every_photo_finds_itself(index, photos, fill):
    files = fill(photos, range(40))
    counts = sync(index, [photos])
    assert told(counts) == {"embedded": 40}
    assert not counts.interrupted
    assert_found(index, *files)


def test_a_second_run_opens_nothing(index, photos, fill, read):
    files = fill(photos, range(5))
    sync(index, [photos])
    read.clear()
    assert told(sync(index, [photos])) == {"unchanged": 5}
    assert read == []
    assert index.info()["segments"] == 1
    assert_found(index, *files)


def test_new_photos_join(index, photos, fill):
    files = fill(photos, range(4))
    sync(index, [photos])
    files += fill(photos, range(4, 7))
    assert told(sync(index, [photos])) == {"embedded": 3, "unchanged": 4}
    assert_found(index, *files)


def test_a_changed_photo_answers_as_it_is_now(index, photos, fill, picture):
    files = fill(photos, range(4))
    sync(index, [photos])
    old = files[1].read_bytes()
    picture(77).save(files[1])
    assert told(sync(index, [photos])) == {"embedded": 1, "unchanged": 3}
    assert_found(index, *files)
    aside = photos.parent / "old.jpg"
    aside.write_bytes(old)
    assert all(m.score < 0.98 for m in ask(index, aside, 10))
    assert stored(index) == {"paths": 4, "images": 4, "vectors": 4, "digests": 4, "refused": 0}


def test_a_touched_photo_keeps_its_key(index, photos, fill):
    (file,) = fill(photos, [1])
    sync(index, [photos])
    id = ask(index, file)[0].id
    os.utime(file, ns=(1, 1))
    assert told(sync(index, [photos])) == {"moved": 1}
    assert told(sync(index, [photos])) == {"unchanged": 1}
    assert ask(index, file)[0].id == id


def test_a_renamed_photo_is_not_embedded_again(index, photos, fill):
    files = fill(photos, range(3))
    sync(index, [photos])
    id = ask(index, files[0])[0].id
    new = files[0].rename(photos / "sub.jpg")
    assert told(sync(index, [photos])) == {"moved": 1, "unchanged": 2}
    best = ask(index, new)[0]
    assert (best.id, best.record.paths) == (id, [str(new)])


def test_a_renamed_folder(index, photos, fill):
    files = fill(photos / "a", range(3))
    sync(index, [photos])
    (photos / "a").rename(photos / "b")
    assert told(sync(index, [photos])) == {"moved": 3}
    assert_found(index, *(photos / "b" / f.name for f in files))
    assert stored(index)["paths"] == 3


@pytest.mark.parametrize("at_once", [False, True])
def test_a_copy_is_a_second_path_of_one_key(index, photos, fill, at_once):
    (file,) = fill(photos, [1])
    if not at_once:
        sync(index, [photos])
    shutil.copy(file, photos / "copy.jpg")
    counts = sync(index, [photos])
    assert seen(counts) == 2
    (best,) = ask(index, file, 10)
    assert sorted(best.record.paths) == [str(file), str(photos / "copy.jpg")]
    assert stored(index)["vectors"] == 1
    if not at_once:
        assert told(counts) == {"moved": 1, "unchanged": 1}


def test_one_of_two_copies_goes(index, photos, fill):
    (file,) = fill(photos, [1])
    shutil.copy(file, photos / "copy.jpg")
    sync(index, [photos])
    file.unlink()
    assert told(sync(index, [photos])) == {"unchanged": 1}
    assert_found(index, photos / "copy.jpg")
    assert ask(index, photos / "copy.jpg")[0].record.paths == [str(photos / "copy.jpg")]


def test_a_deleted_photo_is_gone(index, photos, fill):
    files = fill(photos, range(30))
    sync(index, [photos])
    gone = photos.parent / "gone.jpg"
    files[3].rename(gone)
    assert told(sync(index, [photos])) == {"deleted": 1, "unchanged": 29}
    assert index.txn.count("deleted") == 1
    assert str(files[3]) not in {p for m in ask(index, gone, 30) for p in m.record.paths}
    assert len(ask(index, gone, 99)) == 29
    for file in files[4:10]:
        file.unlink()
    sync(index, [photos])
    assert index.txn.count("deleted") == 0
    assert len(ask(index, gone, 99)) == 23
    assert_found(index, *files[10:])


def test_a_photo_that_comes_back(index, photos, fill):
    files = fill(photos, range(3))
    sync(index, [photos])
    aside = files[0].rename(photos.parent / "aside.jpg")
    sync(index, [photos])
    aside.rename(files[0])
    assert told(sync(index, [photos])) == {"embedded": 1, "unchanged": 2}
    assert_found(index, *files)


def test_ids_are_never_used_again(index, photos, fill):
    used: list[int] = []
    for run in range(4):
        for file in photos.iterdir():
            file.unlink()
        fill(photos, range(run * 3, run * 3 + 3))
        sync(index, [photos])
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
    sync(index, [photos])
    change(photos)
    if not keep_times:
        for file in photos.iterdir():
            os.utime(file)
    counts = sync(index, [photos])
    files = [f for f in photos.iterdir() if f.stat().st_size > 100]
    assert seen(counts) == len(list(photos.iterdir()))
    assert_found(index, *files)
    paths = [p for m in ask(index, files[0], 99) for p in m.record.paths]
    assert sorted(paths) == sorted(map(str, files))


@pytest.mark.parametrize("change", RENAMES)
def test_names_that_change_hands_are_right_after_another_run(index, photos, fill, change):
    fill(photos, range(3))
    fill(photos.parent / "spare", [50])
    sync(index, [photos])
    change(photos)
    for _ in range(2):
        for n, file in enumerate(photos.iterdir()):
            os.utime(file, ns=(n, time.time_ns()))
        sync(index, [photos])
    files = [f for f in photos.iterdir() if f.stat().st_size > 100]
    assert_found(index, *files)
    assert told(sync(index, [photos]))["unchanged"] == len(files)


def test_refusals_are_counted_again_without_opening(index, photos, fill, read):
    fill(photos, [1])
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "empty.jpg").touch()
    (photos / "notes.txt").write_text("words")
    first = sync(index, [photos])
    assert told(first) == {"embedded": 1, "refused": 2, "not_pictures": 1}
    read.clear()
    second = sync(index, [photos])
    assert told(second) == {"unchanged": 1, "refused": 2, "not_pictures": 1}
    assert read == []
    assert first.reasons == second.reasons
    assert set(first.reasons) == {str(photos / "bad.jpg"), str(photos / "empty.jpg")}
    assert {r.path: r.reason for r in index.refusals() if r.reason} == first.reasons


def test_refused_files_are_read_again_when_asked(index, photos, fill, read, monkeypatch):
    fill(photos, range(3))
    (photos / "notes.txt").write_text("words")

    def failing(files, side, workers=None):
        for found in files:
            broken = found.path.endswith("0001.jpg")
            yield found, "out of luck" if broken else outcome_of(found.path, side)

    with monkeypatch.context() as patch:
        patch.setattr(syncing, "outcomes", failing)
        assert told(sync(index, [photos])) == {"embedded": 2, "refused": 1, "not_pictures": 1}
    assert told(sync(index, [photos])) == {"unchanged": 2, "refused": 1, "not_pictures": 1}
    assert read == []
    again = sync(index, [photos], retry=True)
    assert told(again) == {"embedded": 1, "unchanged": 2, "not_pictures": 1}
    assert read == ["0001.jpg"]
    assert_found(index, photos / "0001.jpg")


def test_what_is_excluded_is_not_read_and_leaves_the_index(index, photos, fill, read):
    files = fill(photos, range(3)) + fill(photos / "raw", [3])
    sync(index, [photos])
    fill(photos / "raw", [4])
    read.clear()
    counts = sync(index, [photos], exclude=["raw"])
    assert told(counts) == {"unchanged": 3, "deleted": 1}
    assert counts.left_out.excluded == [str(photos / "raw")]
    assert read == []
    assert_found(index, *files[:3])


def test_a_folder_that_may_not_be_read_keeps_its_photos(index, photos, fill, monkeypatch):
    files = fill(photos / "locked", range(2)) + fill(photos, [5])
    sync(index, [photos])
    listed = os.listdir

    def refusing(folder):
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refusing)
        counts = sync(index, [photos])
    assert told(counts) == {"unchanged": 1}
    assert counts.left_out.unreadable == [str(photos / "locked")]
    assert_found(index, *files)


def test_what_is_known_of_a_photo_is_kept(index, photos, picture):
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Acme", ExifTags.Base.Model: "One"})
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2019:07:31 23:59:58"}
    picture(1, 96, 64).save(photos / "a.jpg", exif=exif)
    sync(index, [photos])
    record = ask(index, photos / "a.jpg")[0].record
    facts = decode((photos / "a.jpg").read_bytes(), index.encoder.side).facts
    assert {name: getattr(record, name) for name in asdict(facts)} == asdict(facts)
    assert (record.camera, record.taken) == ("Acme One", "2019-07-31T23:59:58")
    assert record.size == (photos / "a.jpg").stat().st_size


def test_a_cut_photo_is_found_and_marked(index, photos, picture):
    """Half-copied now, whole later: the whole one takes its place."""
    picture(1, 400, 300).save(photos / "a.jpg")
    data = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(data[: len(data) * 9 // 10])
    assert told(sync(index, [photos])) == {"embedded": 1}
    assert ask(index, photos / "a.jpg")[0].record.truncated
    (photos / "a.jpg").write_bytes(data)
    assert told(sync(index, [photos])) == {"embedded": 1}
    assert [m.record.truncated for m in ask(index, photos / "a.jpg", 9)] == [False]


def test_a_refused_file_that_becomes_good(index, photos, picture):
    file = photos / "a.jpg"
    file.write_bytes(b"\xff\xd8\xff")
    sync(index, [photos])
    picture(3).save(file)
    assert told(sync(index, [photos])) == {"embedded": 1}
    assert_found(index, file)
    assert index.refusals() == []


def test_a_good_file_that_becomes_bad(index, photos, fill):
    files = fill(photos, range(2))
    good = photos.parent / "good.jpg"
    good.write_bytes(files[0].read_bytes())
    files[0].write_bytes(b"\xff\xd8\xff")
    sync(index, [photos])
    files[0].write_bytes(good.read_bytes())
    sync(index, [photos])
    files[0].write_bytes(b"\xff\xd8\xff")
    assert told(sync(index, [photos])) == {"refused": 1, "unchanged": 1}
    assert all(m.record.paths == [str(files[1])] for m in ask(index, good, 9))


def test_a_refused_file_that_goes(index, photos, fill):
    fill(photos, [1])
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    sync(index, [photos])
    (photos / "bad.jpg").unlink()
    sync(index, [photos])
    assert index.refusals() == []


@pytest.mark.parametrize("bad", [(0,), (3,), (6,), (0, 6), (2, 3), tuple(range(7))])
def test_a_bad_file_costs_no_other(index, photos, fill, bad, monkeypatch):
    monkeypatch.setattr(syncing, "ENCODED_AT_ONCE", 3)
    files = fill(photos, range(7))
    for n in bad:
        files[n].write_bytes(files[n].read_bytes()[:300])
    counts = sync(index, [photos])
    assert counts.refused == len(bad)
    assert counts.embedded == 7 - len(bad)
    assert_found(index, *(f for n, f in enumerate(files) if n not in bad))


def test_small_transactions_end_as_one(index, photos, fill, monkeypatch):
    monkeypatch.setattr(syncing, "ENCODED_AT_ONCE", 2)
    monkeypatch.setattr(syncing, "COMMITTED_AT_ONCE", 3)
    files = fill(photos, range(40))
    assert told(sync(index, [photos])) == {"embedded": 40}
    assert index.info()["segments"] <= 8
    assert_found(index, *files)


def test_many_runs_answer_as_brute_force(index, photos, fill, encoder):
    rng = np.random.default_rng(5)
    for run in range(12):
        fill(photos, range(run * 3, run * 3 + 3))
        files = sorted(photos.iterdir())
        if run % 3 == 2:
            files.pop(int(rng.integers(len(files)))).unlink()
        sync(index, [photos])
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
    counts = sync(index, [photos], stopped=lambda: len(read) >= 5)
    assert counts.interrupted
    assert counts.embedded == index.info()["images"] == 5
    assert_found(index, *files[:5])
    assert told(sync(index, [photos])) == {"embedded": 7, "unchanged": 5}
    assert_found(index, *files)


def test_stopping_deletes_nothing(index, photos, fill):
    files = fill(photos, range(4))
    sync(index, [photos])
    files[0].unlink()
    fill(photos, [9])
    assert sync(index, [photos], stopped=lambda: True).deleted == 0
    assert stored(index)["paths"] >= 4


def test_a_failure_keeps_what_is_committed(index, photos, fill, monkeypatch):
    files = fill(photos, range(9))
    monkeypatch.setattr(syncing, "ENCODED_AT_ONCE", 2)
    monkeypatch.setattr(syncing, "COMMITTED_AT_ONCE", 4)
    asked = []

    def stopped() -> bool:
        asked.append(1)
        if len(asked) == 7:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        sync(index, [photos], stopped=stopped)
    index.refresh()
    kept = index.info()["images"]
    assert 0 < kept < 9
    assert_found(index, *files[:kept])
    sync(index, [photos])
    assert_found(index, *files)


def test_several_roots_share_an_index(index, photos, fill):
    one, two = photos / "one", photos / "two"
    files = fill(one, range(3)) + fill(two, range(3, 6))
    sync(index, [one])
    assert told(sync(index, [two])) == {"embedded": 3}
    assert_found(index, *files)
    assert index.info()["roots"] == [str(one), str(two)]


def test_another_root_loses_nothing(index, photos, fill):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 6))
    sync(index, [one, two])
    shutil.rmtree(one)
    assert told(sync(index, [two])) == {"unchanged": 3}
    assert stored(index)["paths"] == 6


@pytest.mark.parametrize("others", [False, True])
def test_an_empty_root_looks_like_a_disk_that_is_not_mounted(index, photos, fill, others):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 6))
    sync(index, [one, two])
    shutil.rmtree(one)
    one.mkdir()
    assert sync(index, [one, two] if others else [one]).deleted == 0
    assert stored(index)["paths"] == 6


def test_a_missing_root(index, photos, fill):
    fill(photos, range(2))
    with pytest.raises(NotFound):
        sync(index, [photos, photos / "nowhere"])
    assert stored(index)["paths"] == 0


def test_names_in_broken_encodings(index, photos, fill):
    (file,) = fill(photos, [1])
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    os.rename(file, name)
    sync(index, [photos])
    assert told(sync(index, [photos])) == {"unchanged": 1}
    best = ask(index, Path(os.fsdecode(name)))[0]
    assert [os.fsencode(p) for p in best.record.paths] == [name]


def test_photos_are_read_only(index, photos, fill):
    fill(photos, range(3))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in photos.iterdir()}
    for _ in range(2):
        sync(index, [photos])
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in photos.iterdir()} == before


def test_progress_reaches_the_end(index, photos, fill):
    fill(photos, range(3))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    said = []
    sync(index, [photos], report=said.append)
    assert (said[-1].done, said[-1].total, said[-1].refused) == (4, 4, 1)


def test_nothing_at_all(index, photos):
    assert told(sync(index, [photos])) == {}
    assert index.query(np.zeros((1, index.encoder.dimension), np.float32)) == [[]]


def test_the_map_grows_while_a_run_reads(index, photos, fill):
    """An index that is at the end of its map when a run begins."""
    files = fill(photos, range(30))
    data = index.store.folder / "data.mdb"
    limit = data.stat().st_size + 16384
    index.store.env.set_mapsize(limit)
    assert told(sync(index, [photos])) == {"embedded": 30}
    assert index.store.env.info()["map_size"] > limit
    assert_found(index, *files)


def test_runs_without_change_do_not_swell_the_file(index, photos, fill):
    fill(photos, range(6))
    data = index.store.folder / "data.mdb"
    sizes = []
    for run in range(6):
        for file in photos.iterdir():
            os.utime(file, ns=(run, run))
        sync(index, [photos])
        sizes.append(data.stat().st_size)
    assert sizes[-1] <= sizes[1] + 64 * 4096


def test_a_run_holds_no_old_snapshot_while_it_writes(index, photos, fill, monkeypatch):
    """Under one no page is free again, and the file swells with every commit."""
    monkeypatch.setattr(syncing, "ENCODED_AT_ONCE", 1)
    monkeypatch.setattr(syncing, "COMMITTED_AT_ONCE", 1)
    behind = []
    write = Store.write

    def watched(self, change):
        readers = [line.split() for line in self.env.readers().splitlines()[1:]]
        last = self.env.info()["last_txnid"]
        behind.extend(last - int(r[2]) for r in readers if r[2].isdigit())
        return write(self, change)

    fill(photos, range(4))
    monkeypatch.setattr(Store, "write", watched)
    sync(index, [photos])
    assert max(behind, default=0) <= 1


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", ["copies", "camera", "hostile"])
def test_real_pictures_are_all_accounted_for(index, data, name, monkeypatch):
    from mocosearch.photos import outcomes

    monkeypatch.setattr(syncing, "outcomes", outcomes)
    files = list(scan([str(data / name)]))
    counts = sync(index, [data / name])
    assert seen(counts) == len(files)
    assert counts.refused == len(counts.reasons)
    assert all(counts.reasons.values())
    again = sync(index, [data / name])
    assert again.embedded == again.moved == 0
    assert seen(again) == len(files)
    assert again.reasons == counts.reasons
    if name != "hostile":
        assert counts.embedded > 0.9 * len(files)


def test_each_orientation_finds_its_group_first(index, data):
    """A digit drawn on each of the nine files is all that differs in a group."""
    files = list(scan([str(data / "exif_orientation")]))
    sync(index, [data / "exif_orientation"])
    for found in files:
        group = os.path.basename(found.path).split("_")[0]
        best = ask(index, Path(found.path), 9)
        assert {os.path.basename(m.record.paths[0]).split("_")[0] for m in best} == {group}


def test_reading_in_other_processes_gives_the_same(index, photos, fill, monkeypatch):
    from mocosearch.photos import outcomes

    monkeypatch.setattr(syncing, "outcomes", outcomes)
    files = fill(photos, range(10))
    assert told(sync(index, [photos])) == {"embedded": 10}
    assert_found(index, *files)


def test_the_environment_is_closed(encoder, tmp_path):
    index = Index.create(tmp_path / "index", encoder)
    index.close()
    with pytest.raises(lmdb.Error):
        index.store.env.begin()
