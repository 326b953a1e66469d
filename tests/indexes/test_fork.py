"""A fork of a process that has used an index ends with a clear error, and does not hang."""

import os
import subprocess
import sys

import pytest
from light import draw, openvino_encoder

from indexes import Index
from mocosearch import processes

PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from indexes import Index
from mocosearch.encoder import Encoder
from mocosearch.errors import Unsuitable, StorageFailed

folder, unused, photo, encoder = map(Path, sys.argv[1:])

def child(work):
    number = os.fork()
    if number == 0:
        signal.alarm(60)
        try:
            work()
        except (Unsuitable, StorageFailed) as error:
            os.write(1, f"{error.what}|{error.hint}\\n".encode())
        else:
            os.write(1, b"done\\n")
        os._exit(0)
    assert os.waitpid(number, 0)[1] == 0

child(lambda: Index.open(unused).search(photo))
index = Index.open(folder)
index.search(photo)
child(lambda: index.search(photo))
child(lambda: index.keys([1]))
child(lambda: index.encoder.encode(np.zeros((1, 16, 16, 3), np.uint8)))
child(lambda: Encoder.open(encoder).encode(np.zeros((1, 16, 16, 3), np.uint8)))
child(lambda: Index.open(folder))
child(lambda: Index.open(unused).search(np.ones(24)))
index.search(photo)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_does_not_hang(tmp_path):
    encoder = openvino_encoder(tmp_path / "encoder")
    (photo,) = draw(tmp_path / "photos", 1)
    for name in ("index", "unused"):
        with Index.create(tmp_path / name, encoder) as index:
            index.add(photo)
    paths = (tmp_path / "index", tmp_path / "unused", photo, tmp_path / "encoder")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)],
        env={**processes.environment(), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    first, *others = run.stdout.splitlines()
    assert first == "done"
    assert len(others) == 6
    for line in others:
        assert "fork" in line
