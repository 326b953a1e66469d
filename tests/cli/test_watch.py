"""`mocosearch watch` as a process: what it prints, and how it ends."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PROGRAM, Run, environment, make_photos


@pytest.fixture
def index(run: Run, tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 4)
    outcome = run("index", tmp_path / "photos", "--index", tmp_path / "index")
    assert outcome.returncode == 0
    return tmp_path / "index"


@contextmanager
def watching(index: Path, home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The program, once it has compared all folders."""
    with subprocess.Popen(
        [str(PROGRAM), "watch", "--index", str(index), "--json", *words],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            assert json.loads(process.stdout.readline())["unchanged"] == 4
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_changes_are_committed_and_a_signal_ends_it(
    ready_home: Path, run: Run, index: Path, number: int
) -> None:
    photos = index.with_name("photos")
    with watching(index, ready_home) as process:
        shutil.copy(photos / "photo 00.jpg", photos / "again.jpg")
        assert process.stdout
        change = json.loads(process.stdout.readline())
        assert (change["moved"], change["embedded"], change["unchanged"]) == (1, 0, 4)
        # Other programs may change the index meanwhile.
        assert run("index", photos, "--index", index).returncode == 0
        process.send_signal(number)
        assert process.wait(20) == 130
        assert process.stderr
        assert "Traceback" not in process.stderr.read()
    facts = json.loads(run("info", photos / "again.jpg", "--index", index, "--json").stdout)
    assert len(facts[0]["paths"]) == 2


def test_once_is_one_update_of_all_folders(run: Run, index: Path) -> None:
    photos = index.with_name("photos")
    make_photos(photos / "more", 2, seed=5)
    (photos / "photo 01.jpg").unlink()
    words = ["watch", "--once", "--index", index]
    result = json.loads(run(*words, "--json", "--exclude", "photo 00.jpg").stdout)
    assert [result[key] for key in ("embedded", "unchanged", "deleted")] == [1, 2, 2]
    text = run(*words)
    assert text.returncode == 0
    assert "2 embedded, 3 unchanged" in text.stdout
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert run(*words).returncode == 3
    assert run("watch", "--once", "--index", index.with_name("none")).returncode == 1


def test_without_watchfiles_once_works(run: Run, index: Path) -> None:
    words = ["watch", "--index", index]
    assert run(*words, "--once", prepare=hide_watchfiles).returncode == 0
    outcome = run(*words, prepare=hide_watchfiles)
    assert outcome.returncode == 1
    assert "mocosearch[watch]" in outcome.stderr


def hide_watchfiles() -> None:
    """For a process that ends with its command."""
    import sys

    sys.modules["watchfiles"] = None  # type: ignore[assignment]
