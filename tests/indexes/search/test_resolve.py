"""Folders in any spelling, and folders and formats that the index does not have."""

import os

import numpy as np
import pytest
from light import DIMENSION, draw, openvino_encoder

from indexes import Index, Where
from mocosearch.errors import NotFound, Unsuitable


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two indexed folders: one through a link, the other with a link to an album in it."""
    base = tmp_path_factory.mktemp("links")
    draw(base / "disk" / "photos" / "may", 2)
    draw(base / "elsewhere" / "album" / "deep", 1, 2)
    draw(base / "plain", 1, 3)
    (base / "empty").mkdir()
    (base / "plain" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    try:
        os.symlink(base / "disk" / "photos", base / "pictures")
        os.symlink(base / "elsewhere" / "album", base / "plain" / "linked")
        os.symlink(base / "plain", base / "another")
    except OSError:
        pytest.skip("no links here")
    with Index.create(base / "index", openvino_encoder(base / "encoder")) as index:
        index.sync([base / "pictures", base / "plain"], workers=1)
        assert len(index.among(Where())) == 4
    return base


@pytest.fixture
def index(base):
    with Index.open(base / "index") as opened:
        yield opened


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("pictures", 2),
        ("disk/photos", 2),
        ("disk/photos/may", 2),
        ("disk", 2),
        ("disk/photos/may/000.png", 1),
        ("plain", 2),
        ("another", 2),
        ("plain/linked", 1),
        ("plain/linked/deep", 1),
        ("elsewhere/album", 1),
        ("elsewhere/album/deep", 1),
        ("elsewhere", 1),
        ("another/linked/deep/002.png", 1),
        ("", 4),
    ],
)
def test_a_folder_in_any_spelling(index, base, folder, count):
    key = np.ones(DIMENSION)
    path = str(base / folder) if folder else str(base)
    inside, outside = Where(under=(path,)), Where(not_under=(path,))
    assert len(index.among(inside)) == count
    assert {result.record.paths[0] for result in index.search(key, where=inside)} == {
        result.record.paths[0] for result in index.search(key)
    } - {result.record.paths[0] for result in index.search(key, where=outside)}
    assert len(index.duplicates(where=inside)) == 0


@pytest.mark.parametrize("folder", ["nope", "empty", "plain/none", "pictures/may/none.png"])
def test_a_folder_without_a_photo_of_the_index(index, base, folder):
    path = str(base / folder)
    for where in (Where(under=(str(base / "plain"), path)), Where(not_under=(path,))):
        with pytest.raises(NotFound) as error:
            index.search(np.ones(DIMENSION), where=where)
        assert path in error.value.what
        assert str(base / "pictures") in error.value.hint


@pytest.mark.parametrize("name", ["jpge", "doc", ""])
def test_a_format_that_does_not_exist(index, name):
    with pytest.raises(Unsuitable, match="no format") as error:
        index.among(Where(format=name))
    assert "png" in error.value.hint
    assert ("mean jpeg" in error.value.hint) == (name == "jpge")


@pytest.mark.parametrize("name", ["heic", ".HEIC", "cr3", "raw", "jpeg2000", "tif", "jfif"])
def test_a_format_that_no_photo_has(index, name):
    assert len(index.among(Where(format=name))) == 0
    assert len(index.among(Where(format="PNG"))) == 4


def test_facts_of_a_file_in_any_spelling(index, base):
    stored = str(base / "pictures" / "may" / "001.png")
    for path in (stored, str(base / "disk" / "photos" / "may" / "001.png")):
        assert index.facts(path)["paths"] == [stored]
    assert index.facts(str(base / "another" / "linked" / "deep" / "002.png"))["width"] == 24
    assert "skipped" in index.facts(str(base / "another" / "bad.jpg"))
    assert index.facts(str(base / "another" / "none.jpg")) is None
