"""An index outlives what befalls it: kills, damage, full disks, many readers."""

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
from light import encode, here, light

from indexes import Index
from indexes.sync import add, embed
from indexes.verify import faults, look
from mocosearch.encoder import Encoder
from mocosearch.errors import Busy, Damaged, StorageFailed

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def befall(*words: object, seconds: float = 280) -> dict:
    """What `survival.py` tells; raises with its last words where an index did not survive."""
    place = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(HERE / "survival.py"), *map(str, words)]
    ended = subprocess.run(line, capture_output=True, text=True, env=place, timeout=seconds)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout)


OPERATIONS = ("index", "merge", "compact", "migrate", "renew")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_random_moments(operation, tmp_path):
    """Verify is clean, what was committed is there, and another run ends as an undisturbed one."""
    assert befall("kills", operation, 2, 0, tmp_path)["killed"] > 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_many_random_moments(operation, tmp_path):
    told = befall("kills", operation, 25, 100, tmp_path, seconds=2900)
    assert told["killed"] > 10
    if operation == "index":
        assert told["with a part committed"] > 3


LISTS = "IVF8,RaBitQ,Refine(SQfp16)"
"""As a large index is."""


@pytest.mark.parametrize("kind", ["auto", LISTS])
def test_a_few_random_damages(tmp_path, kind):
    """Each is told by the open, the question or verify, or changes no answer."""
    assert befall("damages", kind, 15, 0, tmp_path)["worst"] == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["auto", LISTS])
def test_a_thousand_random_damages(tmp_path, kind):
    told = befall("damages", kind, 500, 1000, tmp_path, seconds=2900)
    assert told["worst"] == []


def check_readers(told: dict) -> None:
    """A quarter of the time shows how large the file is; after that it does not grow for good."""
    assert told["fewest"] > 0
    assert told["dead"] == 0
    assert told["grown"] < 1.5


def test_readers_beside_a_writer(tmp_path):
    check_readers(befall("readers", 6, 3, tmp_path))


@pytest.mark.slow
def test_twenty_readers_beside_a_writer_for_a_minute(tmp_path):
    check_readers(befall("readers", 20, 60, tmp_path))


# What a place can do to an index


@pytest.fixture
def made(fill, tmp_path, monkeypatch):
    """The folder of an index of six photos, and the folder of those."""
    monkeypatch.setattr(Encoder, "encode", encode)
    monkeypatch.setattr(embed, "read_photos", here)
    monkeypatch.setattr(add, "read_photos", here)
    fill(tmp_path / "photos", range(6))
    with Index.create(tmp_path / "index", light(1)) as index:
        index.sync([tmp_path / "photos"])
    return tmp_path / "index", tmp_path / "photos"


@pytest.fixture
def no_room():
    """no_room(bytes): no file of this process grows beyond that, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("action", ["sync", "compact", "begin", "export", "renew"])
def test_no_room(made, fill, no_room, tmp_path, action):
    folder, photos = made
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
        no_room({"sync": size, "compact": size // 2}.get(action, 256))
        with pytest.raises(StorageFailed, match=r"room|write"):
            act()
        no_room(resource.RLIM_INFINITY)
    assert not Index.exists(tmp_path / "other")
    assert not (tmp_path / "out").exists()
    with Index.open(folder) as index:
        assert len(index.query(np.eye(1, index.encoder.dimension, dtype="f4"))[0]) == 6
        assert list(look(index)) == []
    with Index.open(folder, writable=True) as index:
        assert index.sync([photos]).embedded == 20


def test_a_place_without_permission(made):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder, _ = made
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
def read_only(made, tmp_path):
    """The same index on a disk that is mounted read-only, in a process that sees it so."""
    folder, _ = made
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
from mocosearch.errors import StorageFailed
with Index.open(Path(sys.argv[1])) as index:
    print(len(index.query(np.eye(1, index.encoder.dimension, dtype="f4"))[0]))
try:
    Index.open(Path(sys.argv[1]), writable=True)
except StorageFailed as error:
    print(error.what)
"""


@pytest.mark.parametrize("locked", [False, True])
def test_a_disk_that_is_read_only(made, read_only, locked):
    folder, _ = made
    if not locked:
        (folder / "lock.mdb").unlink()
    before, view = read_only
    words = [*before, sys.executable, "-c", ASK, str(view)]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    answered, skipped = ended.stdout.splitlines()
    assert answered == "6", ended.stderr
    assert skipped.startswith("cannot write the index at")


@pytest.mark.parametrize("left", [0, 1, 4096, 3 * 4096, 5 * 4096 + 7])
def test_a_file_that_was_cut_short(made, left):
    """LMDB would map what is not there, and end the process."""
    folder, _ = made
    os.truncate(folder / "data.mdb", left)
    with pytest.raises(Damaged):
        Index.open(folder)


def test_a_second_writer_is_told_and_the_first_goes_on(made):
    folder, photos = made
    with Index.open(folder, writable=True) as index:
        with pytest.raises(Busy, match=str(os.getpid())):
            Index.open(folder, writable=True)
        assert index.sync([photos]).unchanged == 6
    assert faults(folder) == []


HOLD = """
import sys
import threading
from pathlib import Path
from indexes import Index
with Index.open(Path(sys.argv[1]), writable=True):
    print(flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_waits_where_it_is_asked_to(made):
    folder, photos = made
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as holding:
        holding.stdout.readline()
        ends = threading.Timer(0.5, holding.stdin.close)
        ends.start()
        with Index.create(folder, None, wait=True) as index:
            assert holding.stdin.closed
            assert index.sync([photos]).unchanged == 6


def test_processes_that_decode_inherit_no_open_index(tmp_path, fill, encoder):
    """LMDB forbids it: a child that ends would let go of its parent's locks."""
    held = []

    def look():
        for child in psutil.Process().children(recursive=True):
            held.extend(f"{child.pid}: {file.path}" for file in child.open_files())
            held.extend(f"{child.pid}: {map.path}" for map in child.memory_maps())
        return False

    fill(tmp_path / "photos", range(3))
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path / "photos"], workers=2, stopped=look)
    assert held
    assert not [name for name in held if "mdb" in name]
