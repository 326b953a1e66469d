"""Several folders of one index, and disks that are not there."""

import shutil

import pytest
from answers import assert_best_match, entry_counts, nonzero

from indexes.sync import sync as sync_module
from mocosearch.errors import NotFound

pytestmark = pytest.mark.usefixtures("reads")


def test_several_roots_share_an_index(index, photos, fill):
    one, two = photos / "one", photos / "two"
    files = fill(one, range(3)) + fill(two, range(3, 6))
    index.sync([one])
    assert nonzero(index.sync([two])) == {"embedded": 3}
    assert_best_match(index, *files)
    assert index.info()["roots"] == [str(one), str(two)]


def test_a_missing_root_that_is_not_given_keeps_its_photos(index, photos, fill):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 6))
    index.sync([one, two])
    shutil.rmtree(one)
    assert nonzero(index.sync([two])) == {"unchanged": 3}
    assert entry_counts(index)["paths"] == 6


@pytest.mark.parametrize("others", [False, True])
def test_an_empty_root_is_taken_for_an_unmounted_disk(index, photos, fill, others):
    one, two = photos / "one", photos / "two"
    fill(one, range(3))
    fill(two, range(3, 6))
    index.sync([one, two])
    shutil.rmtree(one)
    one.mkdir()
    assert index.sync([one, two] if others else [one]).deleted == 0
    assert entry_counts(index)["paths"] == 6


@pytest.mark.parametrize("place", ["a dangling link", "nothing", "an empty folder"])
def test_a_disk_below_a_root_that_is_unplugged(index, photos, fill, another_disk, place):
    fill(photos, range(2))
    fill(another_disk, range(2, 5))
    (photos / "disk").symlink_to(another_disk)
    assert nonzero(index.sync([photos])) == {"embedded": 5}
    another_disk.rename(another_disk.with_name("unplugged"))
    if place != "a dangling link":
        (photos / "disk").unlink()
    if place == "an empty folder":
        (photos / "disk").mkdir()
    for _ in range(2):
        counts = index.sync([photos])
        assert (counts.deleted, counts.unchanged) == (0, 2)
        assert counts.absent == [str(photos / "disk")]
    if place == "an empty folder":
        (photos / "disk").rmdir()
    if place != "a dangling link":
        (photos / "disk").symlink_to(another_disk)
    another_disk.with_name("unplugged").rename(another_disk)
    assert nonzero(index.sync([photos])) == {"unchanged": 5}
    next(another_disk.iterdir()).unlink()
    assert nonzero(index.sync([photos])) == {"unchanged": 4, "deleted": 1}
    (photos / "disk").unlink()
    assert nonzero(index.sync([photos], prune=True)) == {"unchanged": 2, "deleted": 2}
    assert index.sync([photos]).absent == []


@pytest.mark.parametrize("is_root", [True, False])
def test_other_files_in_the_place_of_a_disk(index, photos, fill, another_disk, is_root):
    """A program wrote there without noticing that the disk was not mounted."""
    fill(photos, range(2))
    fill(another_disk, range(2, 5))
    place = photos.with_name("mounted") if is_root else photos / "disk"
    folders = [photos, place] if is_root else [photos]
    place.symlink_to(another_disk)
    assert nonzero(index.sync(folders)) == {"embedded": 5}
    place.unlink()
    fill(place, [9])
    counts = index.sync(folders)
    assert nonzero(counts) == {"embedded": 1, "unchanged": 2}
    assert (counts.absent, counts.unmounted) == ([], [str(place)])
    assert index.sync(folders).unmounted == [str(place)]
    assert len(index) == 6
    # The photos are moved from the disk to this place.
    for file in another_disk.iterdir():
        shutil.copy2(file, place)
    counts = index.sync(folders)
    assert (counts.unmounted, counts.deleted, counts.unchanged) == ([], 0, 6)
    assert index.sync(folders).unmounted == []


def test_other_files_in_the_place_of_a_disk_that_does_not_come_back(
    index, photos, fill, another_disk
):
    fill(another_disk, range(3))
    (photos / "disk").symlink_to(another_disk)
    index.sync([photos])
    (photos / "disk").unlink()
    fill(photos / "disk", [9])
    assert nonzero(index.sync([photos], prune=True)) == {"embedded": 1, "deleted": 3}
    counts = index.sync([photos])
    assert (nonzero(counts), counts.unmounted) == ({"unchanged": 1}, [])


def test_an_emptied_folder_is_not_taken_for_a_disk(index, photos, fill):
    fill(photos, range(2))
    fill(photos / "trip", range(2, 4))
    index.sync([photos])
    for file in (photos / "trip").iterdir():
        file.unlink()
    assert nonzero(index.sync([photos])) == {"unchanged": 2, "deleted": 2}


def test_a_missing_root(index, photos, fill):
    fill(photos, range(2))
    with pytest.raises(NotFound):
        index.sync([photos, photos / "nowhere"])
    assert entry_counts(index)["paths"] == 0


def test_a_disk_unplugged_during_the_scan_keeps_its_photos(index, photos, fill, monkeypatch):
    files = fill(photos, range(3))
    index.sync([photos])
    split_folders = sync_module.split_folders

    def split_and_unplug(*args):
        folders = split_folders(*args)
        shutil.move(photos, photos.with_name("elsewhere"))
        photos.mkdir()
        return folders

    monkeypatch.setattr(sync_module, "split_folders", split_and_unplug)
    counts = index.sync([photos])
    assert (counts.deleted, counts.absent) == (0, [str(photos)])
    assert len(index) == len(files)
