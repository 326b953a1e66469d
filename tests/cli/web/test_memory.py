"""Pages of the index are given back, and read again where they are needed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from web_server import Server

from cli.web.background.memory import mapped_bytes, release, resident_bytes
from indexes import Index, Where

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of mappings")


def _resident(folder: Path) -> int:
    """Pages of the index's file that count as memory of this process, in kB."""
    text = Path("/proc/self/smaps").read_text()
    file = re.escape(str(folder / "data.mdb"))
    return sum(map(int, re.findall(rf" {file}\n(?:.*\n)*?Rss: +(\d+) kB", text)))


def test_pages_are_given_back_above_a_limit_and_answers_stay_the_same(own_server: Server) -> None:
    def read(index: Index) -> np.ndarray:
        return index.keys(index.among(Where()))

    search = {"ids": [3], "k": 20}
    collection = own_server.service.collection
    keys, answer = collection.run(read), own_server.post("/v1/search", json=search)
    assert 0 < mapped_bytes() <= resident_bytes()
    before = _resident(own_server.folder)
    assert before > 0
    release(own_server.folder, mapped_bytes() + 10**9)
    assert _resident(own_server.folder) >= before
    release(own_server.folder, 0)
    assert _resident(own_server.folder) < before
    assert np.array_equal(collection.run(read), keys)
    again = own_server.post("/v1/search", json=search)
    assert again["results"] == answer["results"]
