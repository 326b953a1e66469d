"""The wheel works from outside the checkout."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from program import environment

from mocosearch.home import STARTER

ROOT = Path(__file__).parents[2]


STARTER_BYTES = 25e6
"""Most that the starter may weigh."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_starter_and_it_is_small(wheel: Path) -> None:
    with ZipFile(wheel) as packed:
        held = {
            Path(file.filename).name: file.file_size
            for file in packed.infolist()
            if file.filename.startswith("mocosearch/starter/")
        }
    assert held == {file.name: file.stat().st_size for file in STARTER.iterdir()}
    assert held.keys() == {"card.json", "encoder.xml", "encoder.bin", "weights.safetensors"}
    assert sum(held.values()) <= STARTER_BYTES


def test_the_wheel_installs_and_answers_elsewhere(
    wheel: Path, made: Path, photos: Path, tmp_path: Path
) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    site = next(place.glob("lib/python*/site-packages"))
    # The heavy dependencies are borrowed from here; the program itself comes from the wheel.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--python", place, wheel], check=True, capture_output=True)

    def run(*words: object) -> str:
        line = [place / "bin" / "mocosearch", *map(str, words)]
        return subprocess.run(
            line, cwd=tmp_path, env=environment(made), capture_output=True, text=True, check=True
        ).stdout

    where = [place / "bin" / "python", "-c", "import cli, indexes, mocosearch; print(cli.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(site))
    assert "query" in run("--help")
    photo = photos / "other" / "photo 05.jpg"
    assert run("query", photo, "--paths").splitlines()[0] == str(photo)
