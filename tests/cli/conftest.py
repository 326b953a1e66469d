"""Home folders, photos, and a way to run the program on them."""

import subprocess
from pathlib import Path

import pytest
from program import Run, command, make_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder / "2024" / "may", 20)
    make_photos(folder / "other", 10, seed=1)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A home with an encoder and an index, both called default; tests must not change it."""
    home = tmp_path_factory.mktemp("home")
    for words in (("train", photos, "--epochs", 1, "--size", 32), ("index", photos)):
        ended = command(*words, home=home)
        assert ended.returncode == 0, ended.stderr
    return home


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, made: Path, photos: Path) -> Path:
    """An index with enough photos to tell matches from chance; tests must not change it."""
    folder = tmp_path_factory.mktemp("many")
    make_photos(folder / "photos", 90, seed=2)
    ended = command("index", folder / "photos", photos, "--index", folder / "index", home=made)
    assert ended.returncode == 0, ended.stderr
    return folder / "index"


@pytest.fixture
def run(made: Path) -> Run:
    """Runs the program in the shared home, or in the one given as `home`."""

    def runs(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        return command(*words, **{"home": made, **options})  # type: ignore[arg-type]

    return runs
