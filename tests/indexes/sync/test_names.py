"""Photos that exchange their names, between two runs of `sync`."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import assert_best_match, nonzero, query_photo, total

pytestmark = pytest.mark.usefixtures("reads")


def rename_onto(photos: Path) -> None:
    (photos / "0000.jpg").rename(photos / "0001.jpg")


def swap(photos: Path) -> None:
    (photos / "0000.jpg").rename(photos / "x.jpg")
    (photos / "0001.jpg").rename(photos / "0000.jpg")
    (photos / "x.jpg").rename(photos / "0001.jpg")


def shift(photos: Path) -> None:
    for n in (2, 1, 0):
        (photos / f"{n:04}.jpg").rename(photos / f"{n + 1:04}.jpg")


def replace(photos: Path) -> None:
    """The photo is renamed, and a new one gets its old name."""
    (photos / "0000.jpg").rename(photos / "moved.jpg")
    shutil.copy(photos.parent / "spare" / "0050.jpg", photos / "0000.jpg")


def overwrite_with_a_copy(photos: Path) -> None:
    shutil.copy(photos / "0000.jpg", photos / "0001.jpg")


def replace_with_garbage(photos: Path) -> None:
    """The photo is renamed, and a broken file gets its old name."""
    (photos / "0000.jpg").rename(photos / "moved.jpg")
    (photos / "0000.jpg").write_bytes(b"\xff\xd8\xff")


RENAMES = [rename_onto, swap, shift, replace, overwrite_with_a_copy, replace_with_garbage]


@pytest.mark.parametrize("change", RENAMES)
@pytest.mark.parametrize("keep_times", [False, True])
def test_exchanged_names(index, photos, fill, change: Callable, keep_times):
    """After one run every name belongs to its present content, and no photo is lost."""
    for n, file in enumerate(fill(photos, range(3))):
        os.utime(file, ns=(n, n + 1))
    fill(photos.parent / "spare", [50])
    index.sync([photos])
    change(photos)
    if not keep_times:
        for file in photos.iterdir():
            os.utime(file)
    counts = index.sync([photos])
    files = [f for f in photos.iterdir() if f.stat().st_size > 100]
    assert total(counts) == len(list(photos.iterdir()))
    assert_best_match(index, *files)
    paths = [p for m in query_photo(index, files[0], 99) for p in m.record.paths]
    assert sorted(paths) == sorted(map(str, files))


@pytest.mark.parametrize("change", RENAMES)
def test_exchanged_names_are_right_after_another_run(index, photos, fill, change):
    fill(photos, range(3))
    fill(photos.parent / "spare", [50])
    index.sync([photos])
    change(photos)
    for _ in range(2):
        for n, file in enumerate(photos.iterdir()):
            os.utime(file, ns=(n, time.time_ns()))
        index.sync([photos])
    files = [f for f in photos.iterdir() if f.stat().st_size > 100]
    assert_best_match(index, *files)
    assert nonzero(index.sync([photos]))["unchanged"] == len(files)
