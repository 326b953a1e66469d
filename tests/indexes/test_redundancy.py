"""How many copies of each photo there are, and on which disks."""

import os
import shutil
from dataclasses import astuple
from pathlib import Path

from light import draw
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from indexes.redundancy import mount_point


def other_metadata(photo: Path, to: Path) -> None:
    """Save the same pixels as another file."""
    text = PngInfo()
    text.add_text("Comment", "the same picture")
    with Image.open(photo) as image:
        image.save(to, pnginfo=text)


def test_copies_have_the_same_content_or_the_same_pixels(index, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    photos = draw(a, 3)
    b.mkdir()
    shutil.copy(photos[0], b)
    other_metadata(photos[1], b / "other.png")
    with Image.open(photos[2]) as image:
        image.resize((48, 48)).save(b / "resized.png")
    index.sync([a, b], workers=1)
    copies = index.redundancy()
    assert copies.photos == 4
    assert copies.single == [str(photos[2]), str(b / "resized.png")]
    assert copies.unplugged == []
    size = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in (a, b)}
    assert list(map(astuple, copies.roots)) == [
        (str(a), True, 3, 3, size[a], 1),
        (str(b), True, 3, 3, size[b], 1),
    ]
    (disk,) = copies.disks
    assert astuple(disk) == (mount_point(str(a)), True, 6, 4, size[a] + size[b], 4)


def test_links_to_one_file_are_one_file(index, photos):
    (photo,) = draw(photos, 1)
    os.link(photo, photos / "link.png")
    index.sync(photos, workers=1)
    assert index.redundancy().single == [str(photo)]
    shutil.copy(photo, photos / "copy.png")
    index.sync(photos, workers=1)
    assert index.redundancy().single == []


def test_photos_on_an_unplugged_disk(index, photos, another_disk):
    here = draw(photos, 2)
    (there,) = draw(another_disk, 1, first=5)
    shutil.copy(here[0], another_disk)
    index.sync([photos, another_disk], workers=1)
    plugged = index.redundancy()
    assert plugged.unplugged == []
    assert [(one.available, one.only_here) for one in plugged.roots] == [(True, 1)] * 2
    assert {one.path for one in plugged.disks} == {
        mount_point(str(photos)), mount_point(str(another_disk))
    }  # fmt: skip
    another_disk.rename(another_disk.with_name("elsewhere"))
    another_disk.mkdir()
    copies = index.redundancy()
    assert copies.unplugged == [str(there)]
    assert copies.single == plugged.single == sorted([str(here[1]), str(there)])
    for places in (copies.disks, copies.roots):
        gone = next(one for one in places if one.path == str(another_disk))
        assert (gone.available, gone.files, gone.photos, gone.only_here) == (False, 2, 2, 1)
        assert [one.available for one in places if one != gone] == [True]


def test_an_empty_index_has_no_copies(index):
    assert astuple(index.redundancy()) == (0, [], [], [], [])
