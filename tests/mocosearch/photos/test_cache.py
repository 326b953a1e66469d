import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mocosearch.errors import Unsuitable
from mocosearch.photos import cache, decode, scan
from mocosearch.photos.cache import pixel_cache
from mocosearch.photos.scan import FileStat
from mocosearch.photos.workers.worker import read_photo

SIDE = 12
SIZE = SIDE * SIDE * 3


def list_files(folder: Path) -> list[FileStat]:
    return list(scan([str(folder)]))


@pytest.fixture(autouse=True)
def reads(monkeypatch) -> list[str]:
    """The paths that were read; in this process, which is faster."""
    paths: list[str] = []

    def read_here(photos, side, workers=None):
        for photo in photos:
            paths.append(photo.path)
            yield photo, read_photo(photo.path, side)

    monkeypatch.setattr(cache, "read_photos", read_here)
    return paths


def test_pixels_are_those_of_the_photos(fill, tmp_path):
    files = fill(tmp_path / "photos", range(5))
    result = pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "cache")
    assert result.paths == [str(f) for f in files]
    assert result.pixels.shape == (5, SIDE, SIDE, 3)
    for file, pixels in zip(files, result.pixels, strict=True):
        assert np.array_equal(pixels, decode(file.read_bytes(), SIDE).pixels)


def test_the_same_list_is_decoded_once(fill, tmp_path, reads):
    fill(tmp_path / "photos", range(4))
    files = list_files(tmp_path / "photos")
    first, second = (pixel_cache(files, SIDE, tmp_path / "c") for _ in range(2))
    assert len(reads) == 4
    assert first.paths == second.paths
    assert np.array_equal(first.pixels, second.pixels)


def test_a_changed_file_is_decoded_again(fill, tmp_path, reads, picture):
    files = fill(tmp_path / "photos", range(2))
    before = np.array(pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c").pixels)
    picture(99).save(files[0])
    after = pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c").pixels
    assert len(reads) == 4
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])


def test_another_mtime_or_side_makes_another_cache(fill, tmp_path, reads):
    files = fill(tmp_path / "photos", [1])
    pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c")
    os.utime(files[0], ns=(1, 1))
    pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c")
    pixel_cache(list_files(tmp_path / "photos"), SIDE + 1, tmp_path / "c")
    assert len(reads) == 3


def test_skipped_files_are_reported_every_time(fill, tmp_path):
    files = fill(tmp_path / "photos", range(3))
    files[1].write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "photos" / "notes.txt").write_text("words, no picture")
    for _ in range(2):
        result = pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c")
        assert result.paths == [str(files[0]), str(files[2])]
        assert list(result.skipped) == [str(files[1])]
        assert len(result.pixels) == 2


def test_a_cache_of_an_older_version_is_built_again(fill, tmp_path, reads):
    """Version 0.1.0 called the skipped files refused."""
    fill(tmp_path / "photos", range(2))
    files = list_files(tmp_path / "photos")
    first = pixel_cache(files, SIDE, tmp_path / "c")
    description = first.file.with_suffix(".json")
    description.write_text(description.read_text().replace('"skipped"', '"refused"'))
    second = pixel_cache(files, SIDE, tmp_path / "c")
    assert len(reads) == 4
    assert (second.name, second.paths, second.skipped) == (first.name, first.paths, {})
    assert "skipped" in json.loads(description.read_text())


def test_progress_counts_every_file(fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    counts: list[int] = []
    pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c", counts.append)
    assert sum(counts) == 3


@pytest.mark.parametrize("texts", [0, 2])
def test_a_folder_without_photos(tmp_path, texts):
    (tmp_path / "photos").mkdir()
    for i in range(texts):
        (tmp_path / "photos" / f"{i}.txt").write_text("words, no picture")
    for _ in range(2):
        result = pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c")
        assert result.pixels.shape == (0, SIDE, SIDE, 3)
        assert result.paths == []


def test_names_that_are_not_utf_8(fill, tmp_path):
    (file,) = fill(tmp_path / "photos", [1])
    os.rename(file, os.fsencode(tmp_path / "photos") + b"/caf\xe9.jpg")
    for _ in range(2):
        result = pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c")
        assert os.fsencode(result.paths[0]).endswith(b"caf\xe9.jpg")


def test_an_interrupted_run_leaves_no_files(fill, tmp_path, monkeypatch):
    fill(tmp_path / "photos", range(3))
    files = list_files(tmp_path / "photos")

    def interrupt(photos, side):
        yield photos[0], read_photo(photos[0].path, side)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_photos", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pixel_cache(files, SIDE, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []
    assert len(pixel_cache(files, SIDE, tmp_path / "c").pixels) == 3


def test_the_oldest_caches_are_removed(fill, tmp_path, reads):
    def build(files):
        return pixel_cache(files, SIDE, tmp_path / "c", limit=2 * SIZE)

    photos = []
    for i in range(3):
        fill(tmp_path / f"p{i}", [i])
        photos.append(list_files(tmp_path / f"p{i}"))
    stamp = 1_000_000_000
    for i in (0, 1):
        before = set((tmp_path / "c").glob("*.u8"))
        build(photos[i])
        (new,) = set((tmp_path / "c").glob("*.u8")) - before
        os.utime(new, (stamp + i, stamp + i))
    build(photos[2])
    assert len(list((tmp_path / "c").glob("*.u8"))) == 2
    assert len(list((tmp_path / "c").glob("*.json"))) == 2
    reads.clear()
    build(photos[1])
    build(photos[2])
    assert reads == []
    build(photos[0])
    assert reads == [photos[0][0].path]


def test_a_cache_larger_than_the_limit_is_an_error(fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    with pytest.raises(Unsuitable, match=r"more than 0\.0 GB"):
        pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c", limit=2 * SIZE)
    assert list((tmp_path / "c").iterdir()) == []


def test_two_caches_in_use_stay_and_share_the_limit(fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    fill(tmp_path / "others", [7])
    files, folder = list_files(tmp_path / "photos"), tmp_path / "c"
    first = pixel_cache(files, SIDE, folder, limit=4 * SIZE)
    for file in folder.iterdir():
        os.utime(file, (1, 1))
    pixel_cache(list_files(tmp_path / "others"), SIDE, folder, limit=4 * SIZE)
    with pytest.raises(Unsuitable, match="more than"):
        pixel_cache(files[:2], SIDE, folder, limit=4 * SIZE, other=first)
    pixel_cache(files[:1], SIDE, folder, limit=4 * SIZE, other=first)
    names = {file.name for file in folder.glob("*.u8")}
    assert len(names) == 2
    assert first.file.name in names


def test_the_limit_holds_for_an_existing_cache_too(fill, tmp_path):
    fill(tmp_path / "photos", range(2))
    files = list_files(tmp_path / "photos")
    pixel_cache(files, SIDE, tmp_path / "c")
    with pytest.raises(Unsuitable, match="more than"):
        pixel_cache(files, SIDE, tmp_path / "c", limit=SIZE)
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_a_file_with_another_ctime_is_decoded_again(fill, tmp_path, reads):
    """It was replaced, and has the size and mtime of the first one."""
    fill(tmp_path / "photos", range(2))
    files = list_files(tmp_path / "photos")
    first = pixel_cache(files, SIDE, tmp_path / "c")
    second = pixel_cache([replace(f, changed=f.changed + 1) for f in files], SIDE, tmp_path / "c")
    assert len(reads) == 4
    assert second.name == first.name
    assert second.file != first.file


@pytest.mark.parametrize("reason", ["took longer than 20 s", os.strerror(errno.EIO)])
def test_a_file_skipped_for_a_temporary_cause_is_read_again(
    fill, tmp_path, reads, monkeypatch, reason
):
    fill(tmp_path / "photos", range(3))
    files = list_files(tmp_path / "photos")
    read_here = cache.read_photos

    def fail(photos, side):
        for stat, result in read_here(photos, side):
            yield stat, reason if stat is files[1] else result

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_photos", fail)
        for _ in range(2):
            assert len(pixel_cache(files, SIDE, tmp_path / "c").paths) == 2
    assert len(pixel_cache(files, SIDE, tmp_path / "c", retry=False).paths) == 2
    reads.clear()
    complete = pixel_cache(files, SIDE, tmp_path / "c")
    assert complete.paths == [stat.path for stat in files]
    assert complete.skipped == {}
    reads.clear()
    pixel_cache(files, SIDE, tmp_path / "c")
    assert reads == []


def test_partial_files_of_dead_processes_are_removed(fill, tmp_path):
    fill(tmp_path / "photos", range(2))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (tmp_path / "c").mkdir()
    for pid in (process.pid, os.getpid()):
        (tmp_path / "c" / f".pixels-0123-45.{pid}").write_bytes(b"half")
    pixel_cache(list_files(tmp_path / "photos"), SIDE, tmp_path / "c")
    names = [p.name for p in (tmp_path / "c").iterdir() if p.name.startswith(".")]
    assert names == [f".pixels-0123-45.{os.getpid()}"]
