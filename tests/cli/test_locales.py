"""An index names the same files in every locale, and output never fails."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from light_index import light_index
from program import PROGRAM, environment

from indexes import Index
from indexes.verify import check

NAMES = ("gr\u00fcn \u251c \u6771.png".encode(), b"b\xff\nad \xe9.png", b"plain.png")
LOCALES = ("C", "en_US.ISO-8859-1")
EUC = "ja_JP.EUC-JP"
"""Not every name can be encoded again after it was decoded."""


@pytest.fixture(scope="session")
def locales(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with locales of other encodings than UTF-8, which most systems lack."""

    def make(folder: Path) -> None:
        if shutil.which("localedef"):
            for name in (LOCALES[1], EUC):
                language, encoding = name.split(".")
                line = ["localedef", "-i", language, "-f", encoding, folder / name]
                subprocess.run(line, check=False, capture_output=True)

    return once("locales", make)


def variables(home: Path, locales: Path, name: str) -> dict[str, str]:
    if "." in name and not (locales / name).exists():
        pytest.skip(f"no locale {name} here")
    others = {"LC_ALL": name, "LOCPATH": str(locales), "PYTHONUTF8": "", "LANG": ""}
    return {k: v for k, v in {**environment(home), **others}.items() if v}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of photos with odd names, made in this process, whose paths are in UTF-8."""
    base = tmp_path_factory.mktemp("locale")
    photos = base / "d\u00fcne \u251c"
    index = light_index(base / "index", photos, len(NAMES))
    try:
        for file, name in zip(sorted(photos.iterdir()), NAMES, strict=True):
            os.rename(file, os.fsencode(photos) + b"/" + name)
    except OSError:
        pytest.skip("no such names on this disk")
    with Index.open(index, writable=True) as opened:
        opened.sync(photos, workers=1)
    return index


def files_of(index: Path) -> list[bytes]:
    photos = next(index.parent.glob("d*"))
    return [os.fsencode(photos) + b"/" + name for name in NAMES]


@pytest.mark.parametrize("name", [*LOCALES, EUC])
def test_a_query_names_the_same_files_in_every_locale(
    name: str, index: Path, locales: Path, home: Path
) -> None:
    env = variables(home, locales, name)
    files = files_of(index)
    line = [PROGRAM, "query", files[0], "--index", index, "--in", os.path.dirname(files[0])]
    run = subprocess.run([*line, "-0"], env=env, capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    paths = run.stdout.split(b"\0")
    assert paths[0] == files[0]
    assert sorted(paths[1:-1]) == sorted(set(files) - {files[0]})
    line = [PROGRAM, "query", files[1], "--index", index]
    shown = subprocess.run([*line, "--json"], env=env, capture_output=True, check=True).stdout
    assert os.fsencode(json.loads(shown)["results"][0]["path"]) == files[1]
    table = subprocess.run(line, env=env, capture_output=True, check=True).stdout
    assert table.count(b"\n") == len(files)
    assert NAMES[0] in table


@pytest.mark.parametrize("name", LOCALES)
def test_an_index_that_python_makes_in_any_locale(
    name: str, index: Path, locales: Path, home: Path, tmp_path: Path
) -> None:
    """In a program of one's own the paths are text in the encoding of the locale."""
    env = {**variables(home, locales, name), "PYTHONUTF8": "0"}
    program = """
import os, sys
from indexes import Index, Where
folder, photos = sys.argv[1:]
with Index.open(folder, writable=True) as index:
    index.remove(photos)
    counts = index.sync(photos, workers=1)
    assert (counts.embedded, counts.skipped) == (3, 0), counts
    where = Where(under=(photos,))
    files = [os.path.join(photos, name) for name in sorted(os.listdir(photos))]
    for file in files:
        assert index.search(file, where=where)[0].record.paths == [file]
        assert list(map(os.fsencode, index.facts(file)["paths"])) == [os.fsencode(file)]
    assert len(index.among(Where(under=(files[0],)))) == 1
"""
    copy = shutil.copytree(index, tmp_path / "copy")
    photos = os.path.dirname(files_of(index)[0])
    line = [sys.executable, "-c", program, os.fsencode(copy), photos]
    run = subprocess.run(line, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert check(copy).faults == []
    with Index.open(copy) as opened:
        assert opened.roots.places == {1: os.fsdecode(photos)}
        for file in files_of(index):
            (best, *_) = opened.search(os.fsdecode(file))
            assert list(map(os.fsencode, best.record.paths)) == [file]
