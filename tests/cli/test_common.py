"""--quiet and --verbose."""

from pathlib import Path

import pytest
from program import Run, make_photos

BAD = 25


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    make_photos(folder, 2)
    for number in range(BAD):
        (folder / f"bad {number:02}.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.mark.parametrize(("option", "listed"), [("--quiet", 20), (None, 20), ("-v", BAD)])
def test_output_besides_the_results(
    run: Run, bad_files: Path, tmp_path: Path, option: str | None, listed: int
) -> None:
    words = ["index", bad_files, "--index", tmp_path / "index", *([option] if option else [])]
    lines = run(*words).stderr.splitlines()
    assert sum(line.startswith("skipped ") and "bad " in line for line in lines) == listed
    assert any("2 embedded" in line for line in lines) == (option != "--quiet")
    assert any("in total" in line for line in lines) == (option == "-v")
    if option == "--quiet":
        assert all(line.startswith("skipped ") for line in lines)


def test_quiet_leaves_results_and_errors(run: Run, photos: Path, tmp_path: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    assert run("query", photo, "-k", 3, "-q").stdout == run("query", photo, "-k", 3).stdout
    failed = run("query", tmp_path / "absent.jpg", "--quiet")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")


def test_quiet_and_verbose_exclude_each_other(run: Run) -> None:
    assert run("encoders", "list", "-q", "-v").returncode == 2
