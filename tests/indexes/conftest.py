"""An index, and a folder of photos to sync it with."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from light import openvino_encoder

from indexes import Index
from indexes.copies.detail import Details
from indexes.search import fold
from indexes.sync import embed
from mocosearch.encoder import Encoder
from mocosearch.photos.workers.worker import read_photo


@pytest.fixture(scope="session")
def encoder(once) -> Encoder:
    """Random projections, because each index loads its own graph, and networks take half a second.

    `encoder_folder` holds a network.
    """
    return Encoder.open(once("light", lambda base: openvino_encoder(base / "encoder")) / "encoder")


@pytest.fixture
def index(encoder, tmp_path):
    with Index.create(tmp_path / "index", encoder) as opened:
        yield opened


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def equal_detail(monkeypatch) -> None:
    """Photos without files: every two agree in detail, and a search compares any number."""
    monkeypatch.setattr(fold, "COMPARED", 1 << 20)
    monkeypatch.setattr(
        Details, "equal_among", lambda self, one, others: np.ones(len(others), bool)
    )


@pytest.fixture
def another_disk():
    """A folder on another disk than the tests, like a plugged-in one."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == Path("/tmp").stat().st_dev:
        pytest.skip("no second disk here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as folder:
        yield Path(folder) / "disk"


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Names of the files that were opened. They are read in this process, for speed."""
    names: list[str] = []

    def read_and_note(files, side, workers=None):
        for file in files:
            names.append(os.path.basename(file.path))
            yield file, read_photo(file.path, side)

    monkeypatch.setattr(embed, "read_photos", read_and_note)
    return names
