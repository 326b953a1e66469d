import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import lmdb
import numpy as np
import pytest
from lmdb import verify as lmdb_verify

from indexes import Index, verify
from indexes.search import merging, segments
from indexes.store import layout
from indexes.store.environment import DATABASES
from indexes.store.locks import WriterLock
from indexes.store.records import id_key
from indexes.verify import Report, check, look
from mocosearch.errors import Damaged, StorageFailed

ROOT = Path(__file__).parents[2]
SOUND = Report([], [])


@pytest.fixture(scope="module")
def sound(encoder, fill, tmp_path_factory) -> Path:
    """An index of 20 photos, one copy and one skipped file; tests must not change it."""
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
def copy(sound, tmp_path) -> Path:
    shutil.copytree(sound, tmp_path / "index")
    return tmp_path / "index"


def change(folder: Path, what) -> None:
    with Index.create(folder, None) as index:
        index.store.write(what)


def test_a_sound_index_has_no_faults(sound):
    assert check(sound) == SOUND


def test_files_in_the_current_folder_are_not_imported(sound, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert check(sound) == SOUND
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
    assert check(copy).faults
    with Index.create(copy, None) as index:
        assert index.repair() == 20
        assert index.query(key.astype(np.float32), 1)[0][0].id == 7
    assert check(copy) == SOUND


@pytest.mark.parametrize("database", ["images", "vectors", "paths", "digests", "refused", "meta"])
def test_a_flipped_bit_of_any_entry_is_reported(copy, database):
    def spoil(txn):
        key, value = next(
            (bytes(k), bytes(v))
            for k, v in txn.raw.cursor(txn.databases[database])
            if bytes(k) != b"format"
        )
        value = value[:-7] + bytes([value[-7] ^ 4]) + value[-6:]
        txn.raw.put(key, value, db=txn.databases[database])

    change(copy, spoil)
    assert any(database in fault for fault in check(copy).faults)


@pytest.mark.parametrize(
    ("database", "fault"),
    [
        ("vectors", "no key"),
        ("digests", "by its content"),
        ("paths", "whose entry is another photo's or missing"),
        ("images", "belongs to no photo"),
    ],
)
def test_a_missing_entry_is_reported(copy, database, fault):
    def lose(txn):
        txn.delete(database, bytes(next(txn.items(database))[0]))

    change(copy, lose)
    assert any(fault in line for line in check(copy).faults)


def test_an_id_that_would_be_given_again(copy):
    change(copy, lambda txn: txn.put("meta", b"next_id", id_key(5)))
    assert any("given again" in fault for fault in check(copy).faults)


@pytest.mark.parametrize("part", [b"card", b"graph", b"weights"])
def test_another_encoder_inside_is_reported(copy, part):
    def spoil(txn):
        value = bytearray(txn.get("encoder", part))
        value[len(value) // 2] ^= 1
        txn.put("encoder", part, bytes(value))

    change(copy, spoil)
    assert any("encoder" in fault for fault in check(copy).faults)


def test_a_truncated_file_does_not_open(copy):
    size = (copy / "data.mdb").stat().st_size
    os.truncate(copy / "data.mdb", size // 2)
    with pytest.raises(Damaged, match="cut"):
        Index.open(copy)


def test_repair_builds_the_kind_that_is_asked_for(copy, monkeypatch):
    monkeypatch.setattr(merging, "REBUILT_AT_ONCE", 8)
    with Index.create(copy, None) as index:
        index.repair()
        assert [part["keys"] for part in index.info()["segment_list"]] == [20]


def test_a_check_that_fails_reports_no_fault(copy, tmp_path, monkeypatch):
    """For example, a library that does not load says nothing about the index."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: no such library' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(StorageFailed) as caught:
        check(copy)
    assert caught.value.hint == "ImportError: no such library"


def test_a_checkout_that_is_not_installed(copy, fill, tmp_path):
    """The processes that read photos and that check an index must find its packages too."""
    checkout = tmp_path / "checkout"
    for package in ("cli", "indexes", "mocosearch"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, checkout / package, ignore=ignored)
    fill(tmp_path / "photos", range(20, 23))
    # The dependencies without this project: `.pth` files in their folder are not read there.
    venv.create(tmp_path / "venv", symlinks=True)
    (libraries,) = (tmp_path / "venv").rglob("site-packages")
    (libraries / "dependencies.pth").write_text(str(Path(np.__file__).parents[1]))
    python = tmp_path / "venv" / Path(sys.executable).relative_to(sys.prefix)
    env = {**os.environ, "MOCOSEARCH_HOME": str(tmp_path / "home")}
    env.pop("PYTHONPATH", None)

    def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        line = [str(python), *map(str, words)]
        return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True)

    assert "No module named" in run("-c", "import indexes", cwd=tmp_path).stderr
    options = ("--index", copy, "--json")
    outcome = run("-m", "cli", "index", tmp_path / "photos", *options, cwd=checkout)
    assert json.loads(outcome.stdout)["embedded"] == 3, outcome.stderr
    outcome = run("-m", "cli", "verify", *options, cwd=checkout)
    assert json.loads(outcome.stdout)["whole"], outcome.stderr


# The pages of the file

SIZE = 4096
FREE = layout.HEADER.size + layout.META.size
"""Offset in each of the first two pages of the tree of free pages."""
NUMBER = FREE + 2 * layout.TREE.size + 8
"""Offset of the number of a commit."""


def overwrite(folder: Path, at: int, data: bytes) -> None:
    with open(folder / "data.mdb", "r+b") as file:
        file.seek(at)
        file.write(data)


def newest(folder: Path) -> int:
    """Offset of the page of the last commit."""
    data = (folder / "data.mdb").read_bytes()
    return max((0, SIZE), key=lambda at: int.from_bytes(data[at + NUMBER :][:8], "little"))


def commit(folder: Path, count: int) -> None:
    for number in range(count):
        change(folder, lambda txn, n=number: txn.put("meta", b"test", b"%d" % n))


def test_a_lost_commit_is_reported(copy):
    """LMDB takes the commit before where the number of the last one is damaged."""
    commit(copy, 5)
    overwrite(copy, newest(copy) + NUMBER, bytes(8))
    assert any("consecutive" in fault for fault in check(copy).faults)


def test_free_pages_in_use_are_reported(copy):
    """The next commit would write over them."""
    commit(copy, 5)
    at = newest(copy) + FREE
    data = (copy / "data.mdb").read_bytes()
    overwrite(copy, at + 2, data[at + layout.TREE.size + 2 :][: layout.TREE.size - 2])
    assert any("its pages" in fault for fault in check(copy).faults)


def meta_page(folder: Path) -> int:
    """Offset of the page of the entry that `commit` writes."""
    data = (folder / "data.mdb").read_bytes()
    last = max(one.number for one in layout.commits(data))
    offset, _ = layout.find(data, last, b"meta", b"test")
    return offset // SIZE * SIZE


def test_an_older_copy_of_a_page_over_another_is_reported(copy):
    """It shows an older state of the index, in which all checksums are right."""
    commit(copy, 1)
    before = meta_page(copy)
    page = (copy / "data.mdb").read_bytes()[before:][:SIZE]
    commit(copy, 2)
    at = meta_page(copy)
    assert at != before
    overwrite(copy, at, page)
    assert any(f"page {at // SIZE}" in fault for fault in check(copy).faults)


def test_values_that_shrink_within_a_transaction_are_no_damage(copy):
    """A photo that loses one path after the other, as when 400 copies of it are deleted."""

    def shrink(txn):
        for length in range(90_000, 0, -1000):
            txn.put("meta", b"long", b"x" * length)

    with Index.create(copy, None) as index:
        index.store.write(shrink)
    assert check(copy).faults == []


def test_an_unknown_data_format_is_reported_as_not_checked(copy, tmp_path):
    """LMDB 1.0's, whose commits this program cannot read."""
    new = tmp_path / "new"
    with (
        lmdb.open(str(copy), max_dbs=len(DATABASES)) as source,
        lmdb.open(str(new), max_dbs=len(DATABASES), map_size=1 << 30, lib_version=1) as target,
    ):
        for name in map(str.encode, DATABASES):
            old = source.begin(db=source.open_db(name))
            with old, target.begin(write=True, db=target.open_db(name)) as txn:
                txn.cursor().putmulti(list(old.cursor()))
    report = check(new)
    assert report.faults == []
    assert [part for part in report.unchecked if "last commit" in part]


@pytest.fixture
def busy(copy, monkeypatch):
    """The same index, while another program holds the writer's lock."""
    monkeypatch.setattr(verify, "LOCK_SECONDS", 0.01)
    lock = WriterLock(copy)
    yield copy
    lock.release()


def test_a_writer_that_commits_nothing_does_not_disturb(busy):
    with Index.open(busy) as index:
        assert list(look(index)) == []


COMMIT = """
import sys, lmdb
with lmdb.open(sys.argv[1], max_dbs=20, map_size=1 << 36) as env:
    with env.begin(write=True, db=env.open_db(b"deleted")) as txn:
        txn.put(b"key", b"")
        txn.delete(b"key")
"""


def test_a_writer_that_keeps_committing_is_reported(busy, monkeypatch):
    check_pages = lmdb_verify.verify

    def disturbed(folder):
        subprocess.run([sys.executable, "-c", COMMIT, str(folder)], check=True)
        return check_pages(folder)

    monkeypatch.setattr(lmdb_verify, "verify", disturbed)
    with Index.open(busy) as index:
        (finding,) = look(index)
    assert not finding.is_fault
    assert "another program keeps changing them" in finding.text
