import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mocosearch.errors import Unsuitable
from mocosearch.photos import ReadResult, cache, decode, scan
from mocosearch.photos.cache import pixel_cache
from mocosearch.photos.scan import FileStat
from mocosearch.photos.worker import read_photo

SIDE = 12


def listed(folder: Path) -> list[FileStat]:
    return list(scan([str(folder)]))


@pytest.fixture(autouse=True)
def read(monkeypatch) -> list[str]:
    """The paths that were decoded, in this process for speed."""
    seen: list[str] = []

    def here(photos, side, workers=None):
        for photo in photos:
            seen.append(photo.path)
            outcome: ReadResult = read_photo(photo.path, side)
            yield photo, outcome

    monkeypatch.setattr(cache, "read_photos", here)
    return seen


def test_pixels_are_those_of_the_photos(fill, tmp_path):
    files = fill(tmp_path / "photos", range(5))
    found = pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "cache")
    assert found.paths == [str(f) for f in files]
    assert found.pixels.shape == (5, SIDE, SIDE, 3)
    for file, pixels in zip(files, found.pixels, strict=True):
        assert np.array_equal(pixels, decode(file.read_bytes(), SIDE).pixels)


def test_the_same_list_is_decoded_once(fill, tmp_path, read):
    fill(tmp_path / "photos", range(4))
    one, same = (pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c") for _ in range(2))
    assert len(read) == 4
    assert one.paths == same.paths
    assert np.array_equal(one.pixels, same.pixels)


def test_a_changed_file_is_decoded_again(fill, tmp_path, read, picture):
    files = fill(tmp_path / "photos", range(2))
    before = np.array(pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c").pixels)
    picture(99).save(files[0])
    after = pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c").pixels
    assert len(read) == 4
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])


def test_a_touched_file_and_another_side_are_other_lists(fill, tmp_path, read):
    files = fill(tmp_path / "photos", [1])
    pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
    os.utime(files[0], ns=(1, 1))
    pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
    pixel_cache(listed(tmp_path / "photos"), SIDE + 1, tmp_path / "c")
    assert len(read) == 3


def test_refused_files_are_told_each_time(fill, tmp_path):
    files = fill(tmp_path / "photos", range(3))
    files[1].write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "photos" / "notes.txt").write_text("words, no picture")
    for _ in range(2):
        found = pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
        assert found.paths == [str(files[0]), str(files[2])]
        assert list(found.skipped) == [str(files[1])]
        assert len(found.pixels) == 2


def test_every_file_is_told(fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    told: list[int] = []
    pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c", told.append)
    assert sum(told) == 3


@pytest.mark.parametrize("words", [0, 2])
def test_no_photos_at_all(tmp_path, words):
    (tmp_path / "photos").mkdir()
    for i in range(words):
        (tmp_path / "photos" / f"{i}.txt").write_text("words, no picture")
    for _ in range(2):
        found = pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
        assert found.pixels.shape == (0, SIDE, SIDE, 3)
        assert found.paths == []


def test_names_in_broken_encodings(fill, tmp_path):
    (file,) = fill(tmp_path / "photos", [1])
    os.rename(file, os.fsencode(tmp_path / "photos") + b"/caf\xe9.jpg")
    for _ in range(2):
        found = pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
        assert os.fsencode(found.paths[0]).endswith(b"caf\xe9.jpg")


def test_a_failed_run_leaves_nothing_half(fill, tmp_path, monkeypatch):
    fill(tmp_path / "photos", range(3))

    def failing(photos, side):
        yield photos[0], read_photo(photos[0].path, side)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_photos", failing)
        with pytest.raises(KeyboardInterrupt):
            pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []
    assert len(pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c").pixels) == 3


def test_the_oldest_go_first(fill, tmp_path, read):
    limit = 2 * SIDE * SIDE * 3

    def kept(found):
        return pixel_cache(found, SIDE, tmp_path / "c", limit=limit)

    photos = []
    for i in range(3):
        fill(tmp_path / f"p{i}", [i])
        photos.append(listed(tmp_path / f"p{i}"))
    stamp = 1_000_000_000
    for i in (0, 1):
        before = set((tmp_path / "c").glob("*.u8"))
        kept(photos[i])
        (new,) = set((tmp_path / "c").glob("*.u8")) - before
        os.utime(new, (stamp + i, stamp + i))
    kept(photos[2])
    assert len(list((tmp_path / "c").glob("*.u8"))) == 2
    assert len(list((tmp_path / "c").glob("*.json"))) == 2
    read.clear()
    kept(photos[1])
    kept(photos[2])
    assert read == []
    kept(photos[0])
    assert read == [photos[0][0].path]


def test_more_pixels_than_the_disk_may_hold(fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    with pytest.raises(Unsuitable, match=r"more than 0\.0 GB"):
        pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c", limit=SIDE * SIDE * 3 * 2)
    assert list((tmp_path / "c").iterdir()) == []


def test_two_caches_of_one_run_keep_to_the_limit_together_and_each_other(fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    fill(tmp_path / "others", [7])
    found, folder, one = listed(tmp_path / "photos"), tmp_path / "c", SIDE * SIDE * 3
    first = pixel_cache(found, SIDE, folder, limit=4 * one)
    for file in folder.iterdir():
        os.utime(file, (1, 1))
    pixel_cache(listed(tmp_path / "others"), SIDE, folder, limit=4 * one)
    with pytest.raises(Unsuitable, match="more than"):
        pixel_cache(found[:2], SIDE, folder, limit=4 * one, beside=first)
    pixel_cache(found[:1], SIDE, folder, limit=4 * one, beside=first)
    names = {file.name for file in folder.glob("*.u8")}
    assert len(names) == 2
    assert first.file.name in names


def test_pixels_that_are_stored_already_keep_to_the_limit_too(fill, tmp_path):
    fill(tmp_path / "photos", range(2))
    found = listed(tmp_path / "photos")
    pixel_cache(found, SIDE, tmp_path / "c")
    with pytest.raises(Unsuitable, match="more than"):
        pixel_cache(found, SIDE, tmp_path / "c", limit=SIDE * SIDE * 3)
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_a_file_replaced_with_its_size_and_mtime_kept_is_decoded_again(fill, tmp_path, read):
    fill(tmp_path / "photos", range(2))
    found = listed(tmp_path / "photos")
    first = pixel_cache(found, SIDE, tmp_path / "c")
    replaced = [replace(photo, changed=photo.changed + 1) for photo in found]
    again = pixel_cache(replaced, SIDE, tmp_path / "c")
    assert len(read) == 4
    assert (again.name, again.file != first.file) == (first.name, True)


@pytest.mark.parametrize("reason", ["took longer than 20 s", os.strerror(errno.EIO)])
def test_what_was_refused_for_the_disks_sake_is_tried_again(
    fill, tmp_path, read, monkeypatch, reason
):
    fill(tmp_path / "photos", range(3))
    found = listed(tmp_path / "photos")
    works = cache.read_photos

    def failing(photos, side):
        yield from ((p, reason if p is found[1] else o) for p, o in works(photos, side))

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_photos", failing)
        for _ in range(2):
            first = pixel_cache(found, SIDE, tmp_path / "c")
            assert len(first.paths) == 2
    assert len(pixel_cache(found, SIDE, tmp_path / "c", again=False).paths) == 2
    read.clear()
    whole = pixel_cache(found, SIDE, tmp_path / "c")
    assert whole.paths == [photo.path for photo in found]
    assert whole.skipped == {}
    read.clear()
    pixel_cache(found, SIDE, tmp_path / "c")
    assert read == []


def test_what_a_killed_run_left_is_swept(fill, tmp_path):
    fill(tmp_path / "photos", range(2))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "c").mkdir()
    for pid in (dead.pid, os.getpid()):
        (tmp_path / "c" / f".pixels-0123-45.{pid}").write_bytes(b"half")
    pixel_cache(listed(tmp_path / "photos"), SIDE, tmp_path / "c")
    left = [p.name for p in (tmp_path / "c").iterdir() if p.name.startswith(".")]
    assert left == [f".pixels-0123-45.{os.getpid()}"]
