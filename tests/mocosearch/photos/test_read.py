"""Which files are pictures, and what is not read at all."""

import sys

import pytest
from picture_files import SIDE, to_bytes

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import MAX_BYTES, decode, digest_of, read

decode_module = sys.modules[decode.__module__]


def test_read_recognises_pictures_by_content(picture, tmp_path):
    (tmp_path / "photo.dat").write_bytes(to_bytes(picture(1), "JPEG"))
    (tmp_path / "gif.jpg").write_bytes(to_bytes(picture(1), "GIF"))
    for name in ("photo.dat", "gif.jpg"):
        data = read(str(tmp_path / name))
        assert data == (tmp_path / name).read_bytes()
        decode(data, SIDE)


@pytest.mark.parametrize("name", ["notes.txt", "clip.mp4", "noname"])
def test_read_returns_none_for_other_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"some words that are no picture at all")
    assert read(str(tmp_path / name)) is None


def test_read_returns_text_that_is_named_like_a_photo(tmp_path):
    (tmp_path / "a.jpg").write_text("words")
    assert read(str(tmp_path / "a.jpg")) == b"words"


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.heic"])
def test_an_empty_file_is_skipped(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(Unreadable, match="empty"):
        read(str(tmp_path / name))


def test_a_too_large_file_is_skipped(tmp_path):
    """The file is sparse, so that its bytes are never written."""
    with open(tmp_path / "a.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Unreadable, match="larger than 500 MB"):
        read(str(tmp_path / "a.jpg"))


def test_a_device_that_never_ends_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_module, "MAX_BYTES", 1_000_000)
    (tmp_path / "a.jpg").symlink_to("/dev/zero")
    with pytest.raises(Unreadable, match="larger than 1 MB"):
        read(str(tmp_path / "a.jpg"))


def test_a_missing_file_is_skipped(tmp_path):
    with pytest.raises(Unreadable, match="No such file"):
        read(str(tmp_path / "a.jpg"))


def test_the_digest_depends_on_the_content():
    assert digest_of(b"a") == digest_of(b"a") != digest_of(b"b")
    assert len(digest_of(b"")) == 16
