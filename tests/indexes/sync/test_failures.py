"""Files that cannot be read for a cause outside them, and folders that disappear during a run."""

import errno
import os

import pytest
from answers import nonzero
from light import light, read_in_process, use_light_encoders

from indexes import Index
from indexes.sync import embed
from indexes.verify import look
from mocosearch.errors import MocosearchError, NotFound
from mocosearch.photos.failures import is_temporary
from mocosearch.photos.workers.worker import read_photo

TEMPORARY = [
    os.strerror(errno.EIO),
    os.strerror(errno.EACCES),
    os.strerror(errno.ENOENT),
    os.strerror(errno.ESTALE),
    "took longer than 20 s",
    "crashed the decoder",
    "too large for the memory",
]


@pytest.fixture
def index(tmp_path, monkeypatch):
    use_light_encoders(monkeypatch)
    monkeypatch.setattr(embed, "read_photos", read_in_process)
    monkeypatch.setattr(embed, "FIRST_BATCH", 2)
    with Index.create(tmp_path / "index", light(1)) as opened:
        yield opened


def failing(name: str, reason: str):
    def read(files, side, workers=None):
        for file in files:
            is_bad = os.path.basename(file.path) == name
            yield file, reason if is_bad else read_photo(file.path, side)

    return read


@pytest.mark.parametrize("reason", TEMPORARY)
def test_a_file_that_fails_for_a_temporary_cause_is_read_by_the_next_run(
    index, photos, fill, monkeypatch, reason
):
    fill(photos, range(3))
    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", failing("0001.jpg", reason))
        assert nonzero(index.sync([photos])) == {"embedded": 2, "skipped": 1}
        assert nonzero(index.sync([photos])) == {"unchanged": 2, "skipped": 1}
    assert [file.reason for file in index.skipped_files()] == [reason]
    assert nonzero(index.sync([photos])) == {"embedded": 1, "unchanged": 2}


@pytest.mark.parametrize("reason", ["empty file", "truncated: only 3% can be decoded"])
def test_a_file_that_fails_for_its_bytes_is_not_read_again(
    index, photos, fill, monkeypatch, reason
):
    fill(photos, range(3))
    assert not is_temporary(reason)
    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", failing("0001.jpg", reason))
        index.sync([photos])
    assert nonzero(index.sync([photos])) == {"unchanged": 2, "skipped": 1}


def test_a_photo_stays_while_its_file_cannot_be_read(index, photos, fill, monkeypatch):
    files = fill(photos, range(3))
    index.sync([photos])
    files[1].write_bytes(files[1].read_bytes() + b"\0")
    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", failing("0001.jpg", "Input/output error"))
        counts = index.sync([photos])
        assert nonzero(counts) == {"unchanged": 2, "skipped": 1}
        assert counts.reasons == {str(files[1]): "Input/output error"}
    assert index.entry(str(files[1])) is not None
    assert list(look(index)) == []
    assert nonzero(index.sync([photos])) == {"unchanged": 2, "embedded": 1}
    assert len(index) == 3


@pytest.mark.parametrize("left", ["nothing", "an empty mount point"])
def test_a_root_that_disappears_ends_the_run(index, photos, fill, monkeypatch, left):
    fill(photos, range(8))
    away = photos.with_name("away")

    def read(files, side, workers=None):
        for number, file in enumerate(files):
            if number == 5:
                photos.rename(away)
                if left != "nothing":
                    photos.mkdir()
            yield file, read_photo(file.path, side)

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", read)
        with pytest.raises(NotFound, match=f"{photos} disappeared"):
            index.sync([photos])
    index.refresh()
    assert len(index) == 5
    assert index.skipped_files() == []
    if left != "nothing":
        photos.rmdir()
    away.rename(photos)
    assert nonzero(index.sync([photos])) == {"embedded": 3, "unchanged": 5}


def test_what_was_read_before_a_failure_is_committed(index, photos, fill, monkeypatch):
    fill(photos, range(5))

    def read(files, side, workers=None):
        yield files[0], read_photo(files[0].path, side)
        raise MocosearchError("a process that reads photos did not start")

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", read)
        with pytest.raises(MocosearchError):
            index.sync([photos])
    index.refresh()
    assert len(index) == 1


def test_a_folder_that_disappears_while_it_is_listed_deletes_nothing(
    index, photos, fill, monkeypatch
):
    fill(photos, range(6))
    index.sync([photos])
    lstat, calls = os.lstat, []

    def vanish(path, *args, **options):
        if str(path).startswith(str(photos)) and len(calls) < 4:
            calls.append(path)
            if len(calls) == 4:
                photos.rename(photos.with_name("away"))
        return lstat(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", vanish)
        counts = index.sync([photos])
    assert (counts.deleted, counts.absent) == (0, [str(photos)])
    assert len(index) == 6
