"""The wheel and the source distribution work from outside the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from program import environment

from mocosearch import __version__
from mocosearch.home import STARTER

ROOT = Path(__file__).parents[2]
UV = [sys.executable, "-m", "uv"]
STARTER_BYTES = 25e6
"""Limit for the starter."""
SEARCH_BYTES = 400e6
"""Limit for an install without torch."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution: `make dist` names the one it filled."""
    if built := os.environ.get("MOCOSEARCH_DIST"):
        return ROOT / built
    folder = tmp_path_factory.mktemp("dist")
    build = [*UV, "build", "--quiet", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*build, "--out-dir", folder, ROOT], check=True, capture_output=True)
    return folder


@pytest.fixture
def wheel(dist: Path) -> Path:
    return dist / f"mocosearch-{__version__}-py3-none-any.whl"


@pytest.fixture
def source(dist: Path) -> Path:
    return dist / f"mocosearch-{__version__}.tar.gz"


def runner(
    place: Path, home: Path, folder: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program of a virtual environment from another folder."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        line = [place / "bin" / "mocosearch", *map(str, words)]
        return subprocess.run(
            line, cwd=folder, env=environment(home), capture_output=True, text=True
        )

    return run


def test_the_wheel_contains_the_starter_and_it_is_small(wheel: Path) -> None:
    with ZipFile(wheel) as packed:
        files = {
            Path(file.filename).name: file.file_size
            for file in packed.infolist()
            if file.filename.startswith("mocosearch/starter/")
        }
    assert files == {file.name: file.stat().st_size for file in STARTER.iterdir()}
    assert files.keys() == {"card.json", "encoder.xml", "encoder.bin", "weights.safetensors"}
    assert sum(files.values()) <= STARTER_BYTES


def test_the_source_distribution_contains_every_file_of_the_wheel(
    wheel: Path, source: Path
) -> None:
    with ZipFile(wheel) as packed:
        modules = {name for name in packed.namelist() if ".dist-info/" not in name}
    with tarfile.open(source) as packed:
        names = {member.name.partition("/")[2] for member in packed.getmembers()}
    assert modules <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert not any(name.startswith(("tests", "benchmarks")) for name in modules)


def test_the_wheel_installs_and_answers_elsewhere(
    wheel: Path, ready_home: Path, photos: Path, tmp_path: Path
) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    site = next(place.glob("lib/python*/site-packages"))
    # The heavy dependencies are borrowed from here; the program itself comes from the wheel.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [*UV, "pip", "install", "--quiet", "--no-deps", "--python", place, wheel]
    subprocess.run(install, check=True, capture_output=True)
    run = runner(place, ready_home, tmp_path)
    where = [place / "bin" / "python", "-c", "import cli, indexes, mocosearch; print(cli.__file__)"]
    origin = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert origin.startswith(str(site))
    assert "query" in run("--help").stdout
    assert run("--version").stdout == f"mocosearch {__version__}\n"
    photo = photos / "other" / "photo 05.jpg"
    assert run("query", photo, "--paths").stdout.splitlines()[0] == str(photo)


@pytest.mark.slow
def test_the_source_distribution_installs_with_its_dependencies(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    place = fresh(tmp_path / "venv", source)
    run = runner(place, tmp_path / "home", tmp_path)
    trained = run("train", photos, "--epochs", "0", "--size", "32")
    assert trained.returncode == 0, trained.stderr
    assert run("index", photos).returncode == 0
    photo = photos / "other" / "photo 05.jpg"
    assert run("query", photo, "--paths").stdout.splitlines()[0] == str(photo)


@pytest.mark.slow
def test_a_search_only_install_is_small_and_answers(
    wheel: Path, photos: Path, tmp_path: Path
) -> None:
    place = fresh(tmp_path / "venv", wheel, "--overrides", ROOT / "search-only.txt")
    files = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(file.stat().st_size for file in files) < SEARCH_BYTES
    assert not any(place.glob("lib/python*/site-packages/torch*"))
    run = runner(place, tmp_path / "home", tmp_path)
    indexed = run("index", photos)
    assert indexed.returncode == 0, indexed.stderr
    photo = photos / "other" / "photo 05.jpg"
    assert run("query", photo, "--paths").stdout.splitlines()[0] == str(photo)
    assert run("duplicates").returncode == 0
    assert run("verify").returncode == 0
    for command in (["train", photos], ["encoders", "add", "moco-v2-800ep"]):
        outcome = run(*command)
        assert outcome.returncode == 1
        assert "Traceback" not in outcome.stderr
        assert re.search("^error: .*torch", outcome.stderr, re.MULTILINE | re.IGNORECASE)


def fresh(place: Path, package: Path, *options: object) -> Path:
    """A virtual environment with a package and its dependencies, as `constraints.txt` has them."""
    subprocess.run(
        [*UV, "venv", "--quiet", "--python", sys.executable, place], check=True, capture_output=True
    )
    install = [*UV, "pip", "install", "--quiet", "--python", place, *options]
    install += ["--constraint", ROOT / "constraints.txt", package]
    subprocess.run(list(map(str, install)), check=True, capture_output=True)
    return place
