"""An index survives kills, damage, full disks and many readers."""

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from light import light, read_in_process, use_light_encoders

from indexes import Index
from indexes.sync import add, embed
from indexes.verify import Report, check, look
from mocosearch.errors import Busy, Damaged, StorageFailed

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def survive(*words: object, seconds: float = 280) -> dict:
    """The result of `survival.py`; fails with its error where an index did not survive."""
    place = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(HERE / "survival.py"), *map(str, words)]
    outcome = subprocess.run(line, capture_output=True, text=True, env=place, timeout=seconds)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    return json.loads(outcome.stdout)


OPERATIONS = ("index", "merge", "compact", "migrate", "renew")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_random_moments(operation, tmp_path):
    """There is no damage, committed photos are there, and another run ends like an undisturbed
    one.
    """
    assert survive("kills", operation, 2, 0, tmp_path)["killed"] > 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_many_random_moments(operation, tmp_path):
    result = survive("kills", operation, 25, 100, tmp_path, seconds=2900)
    assert result["killed"] > 10
    if operation == "index":
        assert result["with a part committed"] > 3


LISTS = "IVF8,RaBitQ,Refine(SQfp16)"
"""Like a large index."""


@pytest.mark.parametrize("kind", ["auto", LISTS])
def test_a_few_random_damages(tmp_path, kind):
    """The open, the query or verify reports each, or it changes no result."""
    assert survive("damages", kind, 15, 0, tmp_path)["worst"] == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["auto", LISTS])
def test_a_thousand_random_damages(tmp_path, kind):
    assert survive("damages", kind, 500, 1000, tmp_path, seconds=2900)["worst"] == []


def check_readers(result: dict) -> None:
    """The file has its full size after a quarter of the time."""
    assert result["fewest"] > 0
    assert result["dead"] == 0
    assert result["grown"] < 1.5


def test_readers_beside_a_writer(tmp_path):
    check_readers(survive("readers", 6, 3, tmp_path))


@pytest.mark.slow
def test_twenty_readers_beside_a_writer_for_a_minute(tmp_path):
    check_readers(survive("readers", 20, 60, tmp_path))


# Disks and other programs


@pytest.fixture
def small_index(fill, tmp_path, monkeypatch):
    """The folder of an index of six photos, and the folder of the photos."""
    use_light_encoders(monkeypatch)
    monkeypatch.setattr(embed, "read_photos", read_in_process)
    monkeypatch.setattr(add, "read_photos", read_in_process)
    fill(tmp_path / "photos", range(6))
    with Index.create(tmp_path / "index", light(1)) as index:
        index.sync([tmp_path / "photos"])
    return tmp_path / "index", tmp_path / "photos"


@pytest.fixture
def little_space(monkeypatch):
    """little_space(bytes): the largest size of a file of this process, until the test ends."""
    # Python would write truncated bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("action", ["sync", "compact", "begin", "export", "renew"])
def test_no_disk_space(small_index, fill, little_space, tmp_path, action):
    folder, photos = small_index
    size = (folder / "data.mdb").stat().st_size
    fill(photos, range(20, 40))
    with Index.open(folder, writable=True) as index:
        act = {
            "sync": lambda: index.sync([photos]),
            "compact": index.compact,
            "begin": lambda: Index.create(tmp_path / "other", light(1)),
            "export": lambda: index.export(tmp_path / "out"),
            "renew": lambda: index.renew(light(2)),
        }[action]
        little_space({"sync": size, "compact": size // 2}.get(action, 256))
        with pytest.raises(StorageFailed, match=r"disk space|write"):
            act()
        little_space(resource.RLIM_INFINITY)
    assert not Index.exists(tmp_path / "other")
    assert not (tmp_path / "out").exists()
    with Index.open(folder) as index:
        assert len(index.query(np.eye(1, index.encoder.dimension, dtype="f4"))[0]) == 6
        assert list(look(index)) == []
    with Index.open(folder, writable=True) as index:
        assert index.sync([photos]).embedded == 20


def test_a_place_without_permission(small_index):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder, _ = small_index
    (folder / "lock.mdb").unlink()
    for path, mode in ((folder / "data.mdb", 0o444), (folder, 0o555)):
        path.chmod(mode)
    try:
        with Index.open(folder) as index:
            assert len(index.query(np.eye(1, index.encoder.dimension, dtype="f4"))[0]) == 6
        with pytest.raises(StorageFailed, match="Permission denied"):
            Index.open(folder, writable=True)
    finally:
        folder.chmod(0o755)


@pytest.fixture
def read_only(small_index, tmp_path):
    """The same index on a disk that is mounted read-only, in a process that sees it so."""
    folder, _ = small_index
    view = tmp_path / "mounted"
    view.mkdir()
    mount = ["unshare", "--mount", "sh", "-c"]
    script = 'mount --bind "$0" "$1" && mount -o remount,bind,ro "$1" && shift 1 && exec "$@"'
    tried = subprocess.run([*mount, script, folder, view, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("may not mount here")
    return [*mount, script, str(folder), str(view)], view


ASK = """
import sys, numpy as np
from pathlib import Path
from indexes import Index
from indexes.verify import check
from mocosearch.errors import StorageFailed
with Index.open(Path(sys.argv[1])) as index:
    print(len(index.query(np.eye(1, index.encoder.dimension, dtype="f4"))[0]))
    print(index.store.has_lock_file)
print(check(Path(sys.argv[1])))
try:
    Index.open(Path(sys.argv[1]), writable=True)
except StorageFailed as error:
    print(error.what)
"""


@pytest.mark.parametrize("locked", [False, True])
def test_a_read_only_disk(small_index, read_only, locked):
    folder, _ = small_index
    if not locked:
        (folder / "lock.mdb").unlink()
    before, view = read_only
    words = [*before, sys.executable, "-c", ASK, str(view)]
    outcome = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    count, has_lock_file, report, error = outcome.stdout.splitlines()
    assert count == "6", outcome.stderr
    assert has_lock_file == "False"
    assert report == str(Report([], []))
    assert error.startswith("cannot write the index at")


def test_a_full_disk_without_a_lock_file(small_index, tmp_path):
    """As after a copy. LMDB would create a lock file without blocks, and the process would end."""
    folder, _ = small_index
    view = tmp_path / "mounted"
    view.mkdir()
    mount = ["unshare", "--mount", "sh", "-c"]
    script = 'mount -t tmpfs -o size=8m none "$1" && cp "$0/data.mdb" "$1" && shift 1 && exec "$@"'
    if subprocess.run([*mount, script, folder, view, "true"], capture_output=True).returncode:
        pytest.skip("may not mount here")
    fill = '{ cat /dev/zero > "$1/fill" 2> /dev/null; shift 1; exec "$@"; }'
    words = [*mount, script.replace('shift 1 && exec "$@"', fill), folder, view]
    words += [sys.executable, "-c", ASK, view]
    outcome = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stderr
    count, has_lock_file, report, error = outcome.stdout.splitlines()
    assert (count, has_lock_file, report) == ("6", "False", str(Report([], [])))
    assert error.startswith("no disk space left for the index at")


def test_an_index_that_disappears_while_it_is_used(small_index):
    folder, photos = small_index
    with Index.open(folder, writable=True) as index:
        folder.rename(folder.with_name("away"))
        with pytest.raises(StorageFailed, match="has disappeared"):
            index.sync([photos])
    folder.with_name("away").rename(folder)
    assert check(folder) == Report([], [])


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * 4096, 5 * 4096 + 7])
def test_a_truncated_file(small_index, size):
    """LMDB would read past its end, which ends the process."""
    folder, _ = small_index
    os.truncate(folder / "data.mdb", size)
    with pytest.raises(Damaged):
        Index.open(folder)


def test_a_second_writer_fails_and_the_first_continues(small_index):
    folder, photos = small_index
    with Index.open(folder, writable=True) as index:
        with pytest.raises(Busy, match=str(os.getpid())):
            Index.open(folder, writable=True)
        assert index.sync([photos]).unchanged == 6
    assert check(folder) == Report([], [])


HOLD = """
import sys
import threading
from pathlib import Path
from indexes import Index
with Index.open(Path(sys.argv[1]), writable=True):
    print(flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_can_wait(small_index):
    folder, photos = small_index
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as first:
        first.stdout.readline()
        threading.Timer(0.5, first.stdin.close).start()
        with Index.create(folder, None, wait=True) as index:
            assert first.stdin.closed
            assert index.sync([photos]).unchanged == 6


def test_processes_that_decode_inherit_no_open_index(tmp_path, fill, encoder):
    """LMDB forbids it: a child that ends would release its parent's locks."""
    files = []

    def inspect():
        for child in psutil.Process().children(recursive=True):
            files.extend(f"{child.pid}: {file.path}" for file in child.open_files())
            files.extend(f"{child.pid}: {map.path}" for map in child.memory_maps())
        return False

    fill(tmp_path / "photos", range(3))
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path / "photos"], workers=2, stopped=inspect)
    assert files
    assert not [name for name in files if str(tmp_path / "index") in name]
