"""Thumbnails: stored once, within a limit, and never the cause of an error."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from indexes import thumbnails
from indexes.thumbnails import LEAST, Thumbnails


def _digest(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def _picture(number: int) -> bytes:
    size = 3000 + 7919 * number % 40_000
    return np.random.default_rng(number).bytes(size)


def test_a_thumbnail_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Thumbnails.open(tmp_path)
    first.put(_digest(1), 320, b"small")
    first.put(_digest(1), 640, b"large")
    first.close()
    again = Thumbnails.open(tmp_path)
    assert again.get(_digest(1), 320) == b"small"
    assert again.get(_digest(1), 640) == b"large"
    assert again.get(_digest(1), 160) is None
    assert again.get(_digest(2), 320) is None
    assert len(again) == 2
    again.close()


def test_the_limit_holds_and_the_oldest_go_first(tmp_path: Path) -> None:
    store = Thumbnails.open(tmp_path, LEAST)
    for number in range(2500):
        store.put(_digest(number), 320, _picture(number))
    file = tmp_path / ".thumbnails" / "data.mdb"
    assert file.stat().st_size <= LEAST
    assert 0.5 * LEAST < store.size <= LEAST
    newest = [number for number in range(2400, 2500) if store.get(_digest(number), 320)]
    assert newest == list(range(2400, 2500))
    assert all(store.get(_digest(number), 320) == _picture(number) for number in newest)
    assert store.get(_digest(0), 320) is None
    store.close()


def test_a_smaller_limit_than_before_begins_anew(tmp_path: Path) -> None:
    store = Thumbnails.open(tmp_path, 4 * LEAST)
    for number in range(900):
        store.put(_digest(number), 320, _picture(number))
    store.close()
    smaller = Thumbnails.open(tmp_path, LEAST)
    assert (tmp_path / ".thumbnails" / "data.mdb").stat().st_size <= LEAST
    smaller.put(_digest(1), 320, b"new")
    assert smaller.get(_digest(1), 320) == b"new"
    smaller.close()


def test_a_damaged_thumbnail_is_none(tmp_path: Path) -> None:
    store = Thumbnails.open(tmp_path)
    store.put(_digest(1), 320, b"a thumbnail of some length")
    store.close()
    file = tmp_path / ".thumbnails" / "data.mdb"
    file.write_bytes(file.read_bytes().replace(b"some length", b"any  length"))
    again = Thumbnails.open(tmp_path)
    assert again.get(_digest(1), 320) is None
    again.close()


@pytest.mark.parametrize("data", [b"", b"not a database" * 1000])
def test_a_damaged_file_begins_anew(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "data.mdb").write_bytes(data)
    store = Thumbnails.open(tmp_path)
    store.put(_digest(1), 320, b"new")
    store.close()
    again = Thumbnails.open(tmp_path)
    assert again.get(_digest(1), 320) == b"new"
    again.close()


def test_where_nothing_can_be_written_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object, **options: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(thumbnails.Path, "mkdir", full)
    store = Thumbnails.open(tmp_path)
    store.put(_digest(1), 320, b"new")
    assert store.get(_digest(1), 320) is None
    assert (len(store), store.size) == (0, 0)
    store.close()


def test_a_full_disk_does_not_stop_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Thumbnails.open(tmp_path)

    def full(batch: object) -> None:
        raise thumbnails.lmdb.DiskError("No space left on device")

    monkeypatch.setattr(store, "_add", full)
    store.put(_digest(1), 320, b"new")
    assert store.get(_digest(1), 320) is None
    store.close()
