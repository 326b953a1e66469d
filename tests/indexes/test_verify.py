import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from indexes import Index, verify
from indexes.search import merging, segments
from indexes.store.records import id_key
from mocosearch.errors import Damaged, StorageFailed


@pytest.fixture(scope="module")
def whole(encoder, fill, tmp_path_factory) -> Path:
    """An index of 20 photos with one copy and one skipped_file, not to be changed."""
    base = tmp_path_factory.mktemp("whole")
    files = fill(base / "photos", range(20))
    shutil.copy(files[0], base / "photos" / "copy.jpg")
    (base / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.MonkeyPatch.context() as patch, Index.create(base / "index", encoder) as index:
        patch.setenv("MOCOSEARCH_HOME", str(base / "home"))
        index.sync([base / "photos"])
        index.compact()
    return base / "index"


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "index")
    return tmp_path / "index"


def change(folder: Path, what) -> None:
    with Index.create(folder, None) as index:
        index.store.write(what)


def test_a_whole_index_has_no_faults(whole):
    assert verify.faults(whole) == []


def test_what_lies_in_the_current_folder_is_no_part_of_the_program(whole, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert verify.faults(whole) == []
    assert not (tmp_path / "ran").exists()


def flip_segment(txn):
    blob = bytearray(segments.part(txn, segments.numbers(txn)[0], b"faiss"))
    blob[len(blob) // 2] ^= 1
    txn.put("segments", segments.numbers(txn)[0] + b"faiss", bytes(blob))


def lose_segment(txn):
    segments.remove(txn, segments.numbers(txn)[0])


def twice(txn):
    number = segments.numbers(txn)[0]
    ids, blob = (bytes(segments.part(txn, number, n)) for n in (b"ids", b"faiss"))
    segments.put_new(txn, np.frombuffer(ids, np.uint64), blob, segments.EXACT)


def other_keys(txn):
    keys = np.concatenate(list(segments.read_keys(txn, np.arange(1, 21, dtype=np.uint64))))
    ids = np.arange(1, 21, dtype=np.uint64)
    blob = segments.exact(keys[::-1])
    segments.put(txn, segments.numbers(txn)[0], ids.tobytes(), blob, segments.EXACT)


@pytest.mark.parametrize("spoil", [flip_segment, lose_segment, twice, other_keys])
def test_search_indexes_are_checked_and_rebuilt(copy, spoil):
    with Index.open(copy) as index:
        key = np.concatenate(list(segments.read_keys(index.txn, np.array([7], np.uint64))))
    change(copy, spoil)
    assert verify.faults(copy)
    with Index.create(copy, None) as index:
        assert index.repair() == 20
        assert index.query(key.astype(np.float32), 1)[0][0].id == 7
    assert verify.faults(copy) == []


@pytest.mark.parametrize("database", ["images", "vectors", "paths", "digests", "refused", "meta"])
def test_a_flipped_bit_of_any_entry_is_told(copy, database):
    def spoil(txn):
        key, value = next(
            (bytes(k), bytes(v))
            for k, v in txn.raw.cursor(txn.databases[database])
            if bytes(k) != b"format"
        )
        value = value[:-7] + bytes([value[-7] ^ 4]) + value[-6:]
        txn.raw.put(key, value, db=txn.databases[database])

    change(copy, spoil)
    assert any(database in fault for fault in verify.faults(copy))


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ("vectors", "no key"),
        ("digests", "by its content"),
        ("paths", "does not lie"),
        ("images", "stands for no photo"),
    ],
)
def test_an_entry_that_is_missing_is_told(copy, database, told):
    def lose(txn):
        txn.delete(database, bytes(next(txn.items(database))[0]))

    change(copy, lose)
    assert any(told in fault for fault in verify.faults(copy))


def test_an_id_that_would_be_given_again(copy):
    change(copy, lambda txn: txn.put("meta", b"next_id", id_key(5)))
    assert any("given again" in fault for fault in verify.faults(copy))


@pytest.mark.parametrize("part", [b"card", b"graph", b"weights"])
def test_another_encoder_inside_is_told(copy, part):
    def spoil(txn):
        value = bytearray(txn.get("encoder", part))
        value[len(value) // 2] ^= 1
        txn.put("encoder", part, bytes(value))

    change(copy, spoil)
    assert any("encoder" in fault for fault in verify.faults(copy))


def test_a_file_that_was_cut_is_refused(copy):
    size = (copy / "data.mdb").stat().st_size
    os.truncate(copy / "data.mdb", size // 2)
    with pytest.raises(Damaged, match="cut"):
        Index.open(copy)


def test_repair_builds_the_kind_that_is_asked_for(copy, monkeypatch):
    monkeypatch.setattr(merging, "REBUILT_AT_ONCE", 8)
    with Index.create(copy, None) as index:
        index.repair()
        assert [part["keys"] for part in index.info()["segment_list"]] == [20]


def test_a_look_that_fails_condemns_nothing(copy, tmp_path, monkeypatch):
    """As where a library does not load: that says nothing of the index."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: no such library' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(StorageFailed) as caught:
        verify.faults(copy)
    assert caught.value.hint == "ImportError: no such library"
