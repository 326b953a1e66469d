"""A process with little address space maps little of it, and more when it needs more."""

import subprocess
import sys

import pytest

from mocosearch import processes

PROGRAM = """
import resource, sys
from pathlib import Path
from indexes.store.environment import Store
from mocosearch.errors import StorageFailed

def limit(more):
    pages = int(open("/proc/self/statm").read().split()[0])
    bytes = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (bytes, resource.RLIM_INFINITY))

def put(number):
    key = number.to_bytes(4, "big")
    store.write(lambda txn: txn.put("encoder", key, key * (1 << 18)))

def total():
    with store.read() as txn:
        return sum(bytes(value[:4]) == bytes(key) for key, value in txn.items("encoder"))

folder = Path(sys.argv[1])
limit(300 << 20)
store = Store(folder, writable=True)
first = store.env.info()["map_size"]
for number in range(first >> 20):
    put(number)
assert store.env.info()["map_size"] > first
try:
    for number in range(first >> 20, 1000):
        put(number)
except StorageFailed as error:
    print(error.what, error.hint)
count = total()
assert number - 1 <= count <= number, (count, number)
limit(4 << 30)
put(number)
assert total() == number + 1
store.close()
limit(1 << 40)
store = Store(folder, writable=False)
assert total() == number + 1
print(store.env.info()["map_size"] >> 30)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no such limit here")
def test_a_small_map_grows_until_the_limit(tmp_path):
    (tmp_path / "index").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "index")],
        env=processes.environment(),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "not enough address space for the index raise the limit: ulimit -v unlimited",
        "64",
    ]
