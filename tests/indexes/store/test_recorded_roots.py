"""A copied index looks for its folders where they were, and only then beside itself."""

import shutil

import pytest
from light import draw, openvino_encoder

from indexes import Index


@pytest.fixture
def disk(tmp_path):
    """A folder with photos and their index, and a copy of both."""
    disk = tmp_path / "disk"
    draw(disk / "photos", 2)
    with Index.create(disk / "index", openvino_encoder(tmp_path / "encoder")) as index:
        index.sync(disk / "photos", workers=1)
    return disk, shutil.copytree(disk, tmp_path / "copy")


def root(folder) -> str:
    with Index.open(folder / "index") as index:
        return index.roots.places[1]


def test_the_recorded_folder_comes_first(disk):
    original, copy = disk
    assert root(copy) == str(original / "photos")
    shutil.rmtree(original / "photos")
    assert root(copy) == str(copy / "photos")
    # The mount point of a disk that is mounted elsewhere now.
    (original / "photos").mkdir()
    assert root(copy) == str(copy / "photos")
    shutil.rmtree(copy / "photos")
    assert root(copy) == str(original / "photos")
