"""Files of every kind in a run: skipped, spoilt, hidden, real."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest
from answers import ask, assert_found, seen, told
from PIL import ExifTags, Image

from indexes.sync import embed
from mocosearch.photos import decode, scan
from mocosearch.photos.worker import read_photo

pytestmark = pytest.mark.usefixtures("read")


def test_refusals_are_counted_again_without_opening(index, photos, fill, read):
    fill(photos, [1])
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "empty.jpg").touch()
    (photos / "notes.txt").write_text("words")
    first = index.sync([photos])
    assert told(first) == {"embedded": 1, "skipped": 2, "not_pictures": 1}
    read.clear()
    second = index.sync([photos])
    assert told(second) == {"unchanged": 1, "skipped": 2, "not_pictures": 1}
    assert read == []
    assert first.reasons == second.reasons
    assert set(first.reasons) == {str(photos / "bad.jpg"), str(photos / "empty.jpg")}
    assert {r.path: r.reason for r in index.skipped_files() if r.reason} == first.reasons


def test_refused_files_are_read_again_when_asked(index, photos, fill, read, monkeypatch):
    fill(photos, range(3))
    (photos / "notes.txt").write_text("words")

    def failing(files, side, workers=None):
        for found in files:
            broken = found.path.endswith("0001.jpg")
            yield found, "out of luck" if broken else read_photo(found.path, side)

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", failing)
        assert told(index.sync([photos])) == {"embedded": 2, "skipped": 1, "not_pictures": 1}
    assert told(index.sync([photos])) == {"unchanged": 2, "skipped": 1, "not_pictures": 1}
    assert read == []
    again = index.sync([photos], retry=True)
    assert told(again) == {"embedded": 1, "unchanged": 2, "not_pictures": 1}
    assert read == ["0001.jpg"]
    assert_found(index, photos / "0001.jpg")


def test_what_is_excluded_is_not_read_and_leaves_the_index(index, photos, fill, read):
    files = fill(photos, range(3)) + fill(photos / "raw", [3])
    index.sync([photos])
    fill(photos / "raw", [4])
    read.clear()
    counts = index.sync([photos], exclude=["raw"])
    assert told(counts) == {"unchanged": 3, "deleted": 1}
    assert counts.scan_report.excluded == [str(photos / "raw")]
    assert read == []
    assert_found(index, *files[:3])


def test_a_folder_that_may_not_be_read_keeps_its_photos(index, photos, fill, monkeypatch):
    files = fill(photos / "locked", range(2)) + fill(photos, [5])
    index.sync([photos])
    listed = os.listdir

    def refusing(folder):
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refusing)
        counts = index.sync([photos])
    assert told(counts) == {"unchanged": 1}
    assert counts.scan_report.unreadable == [str(photos / "locked")]
    assert_found(index, *files)


def test_what_is_known_of_a_photo_is_kept(index, photos, picture):
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Acme", ExifTags.Base.Model: "One"})
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2019:07:31 23:59:58"}
    picture(1, 96, 64).save(photos / "a.jpg", exif=exif)
    index.sync([photos])
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
    assert told(index.sync([photos])) == {"embedded": 1}
    assert ask(index, photos / "a.jpg")[0].record.truncated
    (photos / "a.jpg").write_bytes(data)
    assert told(index.sync([photos])) == {"embedded": 1}
    assert [m.record.truncated for m in ask(index, photos / "a.jpg", 9)] == [False]


def test_a_file_that_grows_while_it_is_read_is_read_again(index, photos, picture, monkeypatch):
    picture(3).resize((600, 600)).save(photos / "whole.jpg", quality=90)
    content = (photos / "whole.jpg").read_bytes()
    (photos / "whole.jpg").unlink()
    growing = photos / "growing.jpg"
    growing.write_bytes(content[: len(content) * 3 // 4])

    def slow(files, side, workers=None):
        for found in files:
            read = read_photo(found.path, side)
            growing.write_bytes(content)
            yield found, read

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", slow)
        assert told(index.sync([photos])) == {"embedded": 1}
    assert index.facts(str(growing))["truncated"]
    assert told(index.sync([photos])) == {"embedded": 1}
    assert not index.facts(str(growing))["truncated"]
    assert_found(index, growing)


def test_a_refused_file_that_becomes_good(index, photos, picture):
    file = photos / "a.jpg"
    file.write_bytes(b"\xff\xd8\xff")
    index.sync([photos])
    picture(3).save(file)
    assert told(index.sync([photos])) == {"embedded": 1}
    assert_found(index, file)
    assert index.skipped_files() == []


def test_a_good_file_that_becomes_bad(index, photos, fill):
    files = fill(photos, range(2))
    good = photos.parent / "good.jpg"
    good.write_bytes(files[0].read_bytes())
    files[0].write_bytes(b"\xff\xd8\xff")
    index.sync([photos])
    files[0].write_bytes(good.read_bytes())
    index.sync([photos])
    files[0].write_bytes(b"\xff\xd8\xff")
    assert told(index.sync([photos])) == {"skipped": 1, "unchanged": 1}
    assert all(m.record.paths == [str(files[1])] for m in ask(index, good, 9))


def test_a_refused_file_that_goes(index, photos, fill):
    fill(photos, [1])
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    index.sync([photos])
    (photos / "bad.jpg").unlink()
    index.sync([photos])
    assert index.skipped_files() == []


@pytest.mark.parametrize("bad", [(0,), (3,), (6,), (0, 6), (2, 3), tuple(range(7))])
def test_a_bad_file_costs_no_other(index, photos, fill, bad, monkeypatch):
    monkeypatch.setattr(embed, "ENCODED_AT_ONCE", 3)
    files = fill(photos, range(7))
    for n in bad:
        files[n].write_bytes(files[n].read_bytes()[:300])
    counts = index.sync([photos])
    assert counts.skipped == len(bad)
    assert counts.embedded == 7 - len(bad)
    assert_found(index, *(f for n, f in enumerate(files) if n not in bad))


def test_names_in_broken_encodings(index, photos, fill):
    (file,) = fill(photos, [1])
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    os.rename(file, name)
    index.sync([photos])
    assert told(index.sync([photos])) == {"unchanged": 1}
    best = ask(index, Path(os.fsdecode(name)))[0]
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
def test_real_pictures_are_all_accounted_for(index, data, name, monkeypatch):
    from mocosearch.photos import read_photos

    monkeypatch.setattr(embed, "read_photos", read_photos)
    files = list(scan([str(data / name)]))
    counts = index.sync([data / name])
    assert seen(counts) == len(files)
    assert counts.skipped == len(counts.reasons)
    assert all(counts.reasons.values())
    again = index.sync([data / name])
    assert again.embedded == again.moved == 0
    assert seen(again) == len(files)
    assert again.reasons == counts.reasons
    if name != "hostile":
        assert counts.embedded > 0.9 * len(files)


def test_each_orientation_finds_its_group_first(index, data):
    """A digit drawn on each of the nine files is all that differs in a group."""
    files = list(scan([str(data / "exif_orientation")]))
    index.sync([data / "exif_orientation"])
    for found in files:
        group = os.path.basename(found.path).split("_")[0]
        best = ask(index, Path(found.path), 9)
        assert {os.path.basename(m.record.paths[0]).split("_")[0] for m in best} == {group}


def test_reading_in_other_processes_gives_the_same(index, photos, fill, monkeypatch):
    from mocosearch.photos import read_photos

    monkeypatch.setattr(embed, "read_photos", read_photos)
    files = fill(photos, range(10))
    assert told(index.sync([photos])) == {"embedded": 10}
    assert_found(index, *files)
