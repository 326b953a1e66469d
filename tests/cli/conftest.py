"""Homes, photos and a way to run the program in them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from light import openvino_encoder
from program import Run, command, make_photos
from textures import draw_textures

Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def photos(once: Once) -> Path:
    """Thirty photos in two folders; tests must not change them."""

    def make(folder: Path) -> None:
        make_photos(folder / "2024" / "may", 20)
        make_photos(folder / "other", 10, seed=1)

    return once("photos", make)


@pytest.fixture(scope="session")
def trained_home(once: Once, tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A home with a network of one epoch and an index called default; tests must not change it."""

    def make(home: Path) -> None:
        tiny = ("--arch", "resnet10", "--size", 32)
        trained = command("train", photos, "--epochs", 1, *tiny, home=home, fork=False)
        assert trained.returncode == 0, trained.stderr
        indexed = command("index", photos, home=home, fork=False)
        assert indexed.returncode == 0, indexed.stderr

    return _own_copy(once("trained", make), tmp_path_factory)


@pytest.fixture(scope="session")
def ready_home(once: Once, tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The same with random projections of the pixels in place of a network, which takes half a
    second to load; tests must not change it.
    """

    def make(home: Path) -> None:
        (home / "encoders").mkdir()
        openvino_encoder(home / "encoders" / "default")
        indexed = command("index", photos, home=home)
        assert indexed.returncode == 0, indexed.stderr

    return _own_copy(once("home", make), tmp_path_factory)


def _own_copy(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for each process, because a failing command may leave something for a moment."""
    return shutil.copytree(home, tmp_path_factory.mktemp("home"), dirs_exist_ok=True)


@pytest.fixture(scope="session")
def texture_photos(once: Once) -> Path:
    """A hundred photos with detail; tests must not change them."""

    def make(folder: Path) -> None:
        draw_textures(folder, 100)

    return once("texture-photos", make)


@pytest.fixture(scope="session")
def parts_home(once: Once, tmp_path_factory: pytest.TempPathFactory, texture_photos: Path) -> Path:
    """A home whose index `default` has keys of regions, and enough photos to tell a score from
    chance; tests must not change it.
    """

    def make(home: Path) -> None:
        made = command("index", texture_photos, "--parts", home=home, fork=False)
        assert made.returncode == 0, made.stderr

    return _own_copy(once("parts-home", make), tmp_path_factory)


@pytest.fixture(scope="session")
def many(once: Once, ready_home: Path, photos: Path) -> Path:
    """An index of enough photos to tell what may be chance; tests must not change it."""

    def more_photos(folder: Path) -> None:
        make_photos(folder, 90, seed=2)

    def make(folder: Path) -> None:
        # In a place of its own, because the index keeps the paths of its photos.
        more = once("more", more_photos)
        indexed = command("index", more, photos, "--index", folder / "index", home=ready_home)
        assert indexed.returncode == 0, indexed.stderr

    return once("many", make) / "index"


@pytest.fixture
def run(ready_home: Path) -> Run:
    """Run the program in the shared home, or in the one given as `home`."""

    def runs(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        return command(*words, **{"home": ready_home, **options})  # type: ignore[arg-type]

    return runs
