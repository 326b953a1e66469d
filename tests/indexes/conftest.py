"""An index and a folder of photos to follow."""

import os
from pathlib import Path

import pytest

from indexes import Index, embedding
from mocosearch.photos.worker import outcome_of


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
def read(monkeypatch) -> list[str]:
    """Names of the files that were opened; they are read in this process, for speed."""
    seen: list[str] = []

    def here(files, side, workers=None):
        for found in files:
            seen.append(os.path.basename(found.path))
            yield found, outcome_of(found.path, side)

    monkeypatch.setattr(embedding, "outcomes", here)
    return seen
