"""Fixtures for all tests: a home folder per test, generated pictures, one small encoder."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from mocosearch.encoder import Encoder

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("MOCOSEARCH_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """once(name, make): a folder that `make` fills once for all processes of the test run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder = base / f"once-{name}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                part = base / f"part-{name}"
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(folder)
        return folder

    return folder_of


def _picture(seed: int, width: int = 72, height: int = 56) -> Image.Image:
    """A smooth random background and one sharp rectangle; different for each seed."""
    rng = np.random.default_rng(seed)
    background = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    picture = background.resize((width, height), Image.Resampling.BICUBIC)
    left, top = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
    block = Image.new("RGB", (width // 4, height // 4), tuple(rng.integers(0, 256, 3).tolist()))
    picture.paste(block, (left, top))
    return picture


def _fill(folder: Path, seeds: Sequence[int]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{seed:04}.jpg" for seed in seeds]
    for seed, file in zip(seeds, files, strict=True):
        _picture(seed).save(file, quality=92)
    return files


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """picture(seed, width, height): an RGB picture."""
    return _picture


@pytest.fixture(scope="session")
def fill() -> Callable[[Path, Sequence[int]], list[Path]]:
    """fill(folder, seeds): one JPEG per seed, named after it."""
    return _fill


@pytest.fixture(scope="session")
def encoder_folder(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A small untrained encoder, whitened with 12 generated pictures; tests must not change it."""

    def make(base: Path) -> None:
        from mocosearch import train

        _fill(base / "photos", range(1000, 1012))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MOCOSEARCH_HOME", str(base / "home"))
            train([base / "photos"], base / "tiny", architecture="resnet10", size=32, epochs=0)

    return once("encoder", make) / "tiny"


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> Encoder:
    return Encoder.open(encoder_folder)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of shared test pictures, which is not part of the repository."""
    if not DATA.is_dir():
        pytest.skip(f"no shared pictures at {DATA}")
    return DATA


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders named `locked` cannot be read. Root can read every folder, so the error is faked."""
    listdir = os.listdir

    def listdir_or_fail(folder: str) -> list[str]:
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", listdir_or_fail)
