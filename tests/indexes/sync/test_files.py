"""Single files as arguments: their folder is the root, and they are followed as in a folder."""

import os

import numpy as np
import pytest
from answers import nonzero
from light import light, read_in_process, use_light_encoders

from indexes import Index
from indexes.store import roots
from indexes.sync import embed
from indexes.sync.entries import Batch, commit
from mocosearch.errors import NotFound
from mocosearch.photos import Facts, FileStat


@pytest.fixture
def index(tmp_path, monkeypatch):
    use_light_encoders(monkeypatch)
    monkeypatch.setattr(embed, "read_photos", read_in_process)
    with Index.create(tmp_path / "index", light(1)) as opened:
        yield opened


def test_an_index_with_a_root_for_each_file(index, photos, fill):
    """As earlier versions made it."""
    files = fill(photos, range(6))
    stats = [FileStat.of(str(file), os.stat(file)) for file in files]
    keys = np.eye(6, index.encoder.dimension)
    new = [(stat, bytes([n]) * 16, Facts(1, 1, "JPEG")) for n, stat in enumerate(stats)]

    def write(txn):
        roots.add(txn, map(str, files))
        commit(txn, Batch(new=new, keys=[keys]))

    index.store.write(write)
    index.refresh()
    assert len(index.roots.places) == 6
    assert nonzero(index.sync(files)) == {"unchanged": 6}
    assert list(index.roots.places.values()) == [str(photos)]
    files[2].unlink()
    rest = [*files[:2], *files[3:]]
    assert nonzero(index.sync(rest)) == {"unchanged": 5, "deleted": 1}
    assert [index.entry(str(file)) is not None for file in files] == [True] * 2 + [False] + [
        True
    ] * 3


def test_the_other_files_of_the_folder_are_left_alone(index, photos, fill):
    files = fill(photos, range(4))
    index.sync([photos])
    fill(photos, [9])
    assert nonzero(index.sync([files[0]])) == {"unchanged": 1}
    assert len(index) == 4


def test_a_path_that_the_index_does_not_know(index, photos, fill):
    fill(photos, range(2))
    index.sync([photos])
    with pytest.raises(NotFound):
        index.sync([photos / "typo"])
    (photos / "empty").mkdir()
    assert index.sync([photos / "empty"]).absent == []


def test_the_last_files_of_a_folder_may_be_on_an_unplugged_disk(index, photos, fill):
    files = fill(photos, range(2))
    index.sync(files)
    for file in files:
        file.unlink()
    counts = index.sync(files)
    assert (counts.deleted, counts.absent) == (0, list(map(str, files)))
    assert nonzero(index.sync(files, prune=True)) == {"deleted": 2}
