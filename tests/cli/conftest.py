"""Homes, photos and a way to run the program in them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Run, command, make_photos

Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def photos(once: Once) -> Path:
    """Thirty photos in two folders; tests must not change them."""

    def make(folder: Path) -> None:
        make_photos(folder / "2024" / "may", 20)
        make_photos(folder / "other", 10, seed=1)

    return once("photos", make)


@pytest.fixture(scope="session")
def made(once: Once, tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A home with an encoder and an index called default; tests must not change it."""

    def make(home: Path) -> None:
        trained = command("train", photos, "--epochs", 1, "--size", 32, home=home)
        assert trained.returncode == 0, trained.stderr
        indexed = command("index", photos, home=home)
        assert indexed.returncode == 0, indexed.stderr

    # A copy for each process, because a failing command may leave something for a moment.
    home = tmp_path_factory.mktemp("home")
    return shutil.copytree(once("home", make), home, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def many(once: Once, made: Path, photos: Path) -> Path:
    """An index of enough photos to tell what may be chance; tests must not change it."""

    def more_photos(folder: Path) -> None:
        make_photos(folder, 90, seed=2)

    def make(folder: Path) -> None:
        # In a place of its own, because the index keeps the paths of its photos.
        more = once("more", more_photos)
        indexed = command("index", more, photos, "--index", folder / "index", home=made)
        assert indexed.returncode == 0, indexed.stderr

    return once("many", make) / "index"


@pytest.fixture
def run(made: Path) -> Run:
    """Run the program in the shared home, or in the one given as `home`."""

    def runs(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        return command(*words, **{"home": made, **options})  # type: ignore[arg-type]

    return runs
