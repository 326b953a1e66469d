"""Runs over files of every kind: skipped, truncated, hidden, and real photos."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest
from answers import assert_best_match, nonzero, query_photo, total
from PIL import ExifTags, Image

from indexes.sync import embed
from mocosearch.photos import decode, scan
from mocosearch.photos.workers.worker import read_photo

pytestmark = pytest.mark.usefixtures("reads")


def test_skipped_files_are_counted_again_without_opening_them(index, photos, fill, reads):
    fill(photos, [1])
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "empty.jpg").touch()
    (photos / "notes.txt").write_text("words")
    first = index.sync([photos])
    assert nonzero(first) == {"embedded": 1, "skipped": 2, "not_pictures": 1}
    reads.clear()
    second = index.sync([photos])
    assert nonzero(second) == {"unchanged": 1, "skipped": 2, "not_pictures": 1}
    assert reads == []
    assert first.reasons == second.reasons
    assert set(first.reasons) == {str(photos / "bad.jpg"), str(photos / "empty.jpg")}
    assert {r.path: r.reason for r in index.skipped_files() if r.reason} == first.reasons


def test_retry_reads_skipped_files_again(index, photos, fill, reads, monkeypatch):
    fill(photos, range(3))
    (photos / "notes.txt").write_text("words")

    def failing(files, side, workers=None):
        for file in files:
            broken = file.path.endswith("0001.jpg")
            yield file, "out of luck" if broken else read_photo(file.path, side)

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", failing)
        assert nonzero(index.sync([photos])) == {"embedded": 2, "skipped": 1, "not_pictures": 1}
    assert nonzero(index.sync([photos])) == {"unchanged": 2, "skipped": 1, "not_pictures": 1}
    assert reads == []
    again = index.sync([photos], retry=True)
    assert nonzero(again) == {"embedded": 1, "unchanged": 2, "not_pictures": 1}
    assert reads == ["0001.jpg"]
    assert_best_match(index, photos / "0001.jpg")


def test_excluded_files_are_not_read_and_leave_the_index(index, photos, fill, reads):
    files = fill(photos, range(3)) + fill(photos / "raw", [3])
    index.sync([photos])
    fill(photos / "raw", [4])
    reads.clear()
    counts = index.sync([photos], exclude=["raw"])
    assert nonzero(counts) == {"unchanged": 3, "deleted": 1}
    assert counts.scan_report.excluded == [str(photos / "raw")]
    assert reads == []
    assert_best_match(index, *files[:3])


def test_an_unreadable_folder_keeps_its_photos(index, photos, fill, monkeypatch):
    files = fill(photos / "locked", range(2)) + fill(photos, [5])
    index.sync([photos])
    listdir = os.listdir

    def deny_locked(folder):
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return listdir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", deny_locked)
        counts = index.sync([photos])
    assert nonzero(counts) == {"unchanged": 1}
    assert counts.scan_report.unreadable == [str(photos / "locked")]
    assert_best_match(index, *files)


def test_the_facts_of_a_photo_are_stored(index, photos, picture):
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Acme", ExifTags.Base.Model: "One"})
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2019:07:31 23:59:58"}
    picture(1, 96, 64).save(photos / "a.jpg", exif=exif)
    index.sync([photos])
    record = query_photo(index, photos / "a.jpg")[0].record
    facts = decode((photos / "a.jpg").read_bytes(), index.encoder.side).facts
    assert {name: getattr(record, name) for name in asdict(facts)} == asdict(facts)
    assert (record.camera, record.taken) == ("Acme One", "2019-07-31T23:59:58")
    assert record.size == (photos / "a.jpg").stat().st_size


def test_a_truncated_photo_is_embedded_and_marked(index, photos, picture):
    """A file that is still being copied: the complete one replaces it later."""
    picture(1, 400, 300).save(photos / "a.jpg")
    data = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(data[: len(data) * 9 // 10])
    assert nonzero(index.sync([photos])) == {"embedded": 1}
    assert query_photo(index, photos / "a.jpg")[0].record.truncated
    (photos / "a.jpg").write_bytes(data)
    assert nonzero(index.sync([photos])) == {"embedded": 1}
    assert [m.record.truncated for m in query_photo(index, photos / "a.jpg", 9)] == [False]


def test_a_file_that_grows_while_it_is_read_is_read_again(index, photos, picture, monkeypatch):
    picture(3).resize((600, 600)).save(photos / "whole.jpg", quality=90)
    content = (photos / "whole.jpg").read_bytes()
    (photos / "whole.jpg").unlink()
    growing = photos / "growing.jpg"
    growing.write_bytes(content[: len(content) * 3 // 4])

    def slow(files, side, workers=None):
        for file in files:
            photo = read_photo(file.path, side)
            growing.write_bytes(content)
            yield file, photo

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", slow)
        assert nonzero(index.sync([photos])) == {"embedded": 1}
    assert index.facts(str(growing))["truncated"]
    assert nonzero(index.sync([photos])) == {"embedded": 1}
    assert not index.facts(str(growing))["truncated"]
    assert_best_match(index, growing)


def test_a_skipped_file_that_becomes_readable(index, photos, picture):
    file = photos / "a.jpg"
    file.write_bytes(b"\xff\xd8\xff")
    index.sync([photos])
    picture(3).save(file)
    assert nonzero(index.sync([photos])) == {"embedded": 1}
    assert_best_match(index, file)
    assert index.skipped_files() == []


def test_a_photo_that_becomes_unreadable(index, photos, fill):
    files = fill(photos, range(2))
    good = photos.parent / "good.jpg"
    good.write_bytes(files[0].read_bytes())
    files[0].write_bytes(b"\xff\xd8\xff")
    index.sync([photos])
    files[0].write_bytes(good.read_bytes())
    index.sync([photos])
    files[0].write_bytes(b"\xff\xd8\xff")
    assert nonzero(index.sync([photos])) == {"skipped": 1, "unchanged": 1}
    assert all(m.record.paths == [str(files[1])] for m in query_photo(index, good, 9))


def test_a_skipped_file_that_is_deleted(index, photos, fill):
    fill(photos, [1])
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    index.sync([photos])
    (photos / "bad.jpg").unlink()
    index.sync([photos])
    assert index.skipped_files() == []


@pytest.mark.parametrize("bad", [(0,), (3,), (6,), (0, 6), (2, 3), tuple(range(7))])
def test_a_bad_file_affects_no_other(index, photos, fill, bad, monkeypatch):
    files = fill(photos, range(7))
    for n in bad:
        files[n].write_bytes(files[n].read_bytes()[:300])
    counts = index.sync([photos])
    assert counts.skipped == len(bad)
    assert counts.embedded == 7 - len(bad)
    assert_best_match(index, *(f for n, f in enumerate(files) if n not in bad))


def test_paths_that_are_not_unicode(index, photos, fill):
    (file,) = fill(photos, [1])
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    os.rename(file, name)
    index.sync([photos])
    assert nonzero(index.sync([photos])) == {"unchanged": 1}
    best = query_photo(index, Path(os.fsdecode(name)))[0]
    assert [os.fsencode(p) for p in best.record.paths] == [name]


def test_photos_are_read_only(index, photos, fill):
    fill(photos, range(3))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in photos.iterdir()}
    for _ in range(2):
        index.sync([photos])
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in photos.iterdir()} == before


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", ["copies", "camera", "hostile"])
def test_every_real_file_is_counted_once(index, data, name, monkeypatch):
    from mocosearch.photos import read_photos

    monkeypatch.setattr(embed, "read_photos", read_photos)
    files = list(scan([str(data / name)]))
    counts = index.sync([data / name])
    assert total(counts) == len(files)
    assert counts.skipped == len(counts.reasons)
    assert all(counts.reasons.values())
    again = index.sync([data / name])
    assert again.embedded == again.moved == 0
    assert total(again) == len(files)
    assert again.reasons == counts.reasons
    if name != "hostile":
        assert counts.embedded > 0.9 * len(files)


def test_each_orientation_ranks_its_group_first(index, data):
    """The nine files of a group differ only in a digit drawn on each."""
    files = list(scan([str(data / "exif_orientation")]))
    index.sync([data / "exif_orientation"])
    for file in files:
        group = os.path.basename(file.path).split("_")[0]
        best = query_photo(index, Path(file.path), 9)
        assert {os.path.basename(m.record.paths[0]).split("_")[0] for m in best} == {group}


def test_reading_in_other_processes_gives_the_same_keys(index, photos, fill, monkeypatch):
    from mocosearch.photos import read_photos

    monkeypatch.setattr(embed, "read_photos", read_photos)
    files = fill(photos, range(10))
    assert nonzero(index.sync([photos])) == {"embedded": 10}
    assert_best_match(index, *files)
