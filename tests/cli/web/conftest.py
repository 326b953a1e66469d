"""Servers over an index of generated photos."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from light import openvino_encoder
from web_server import Server, make_dated_photos, start

from indexes import Index

Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def web_photos(once: Once) -> Path:
    """The photos of every server; tests must not change them."""
    return once("web-photos", make_dated_photos)


@pytest.fixture(scope="session")
def web_index(once: Once, web_photos: Path) -> Path:
    """Their index; tests must not change it."""

    def make(folder: Path) -> None:
        encoder = openvino_encoder(folder / "encoder")
        with Index.create(folder / "index", encoder) as index:
            index.sync(web_photos, workers=1)

    return once("web-index", make) / "index"


@pytest.fixture(scope="module")
def server(
    web_index: Path, web_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server for all tests of a module; they must not change the index."""
    folder = shutil.copytree(web_index, tmp_path_factory.mktemp("web") / "index")
    yield from start(folder, web_photos)


@pytest.fixture
def own_server(web_index: Path, web_photos: Path, tmp_path: Path) -> Iterator[Server]:
    """A server for one test, with photos and an index that it may change."""
    photos = shutil.copytree(web_photos, tmp_path / "photos")
    folder = shutil.copytree(web_index, tmp_path / "index")
    with Index.open(folder, writable=True) as index:
        index.move(web_photos, photos)
    yield from start(folder, photos)


@pytest.fixture
def guarded(web_index: Path, web_photos: Path, tmp_path: Path) -> Iterator[Server]:
    """A server with a password."""
    folder = shutil.copytree(web_index, tmp_path / "index")
    yield from start(folder, web_photos, "correct horse")
