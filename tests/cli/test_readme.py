"""The commands and the Python code of the README work, in a new home, on real photos."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_docs import COMMANDS as BY_NAME
from test_docs import ROOT, options

README = (ROOT / "README.md").read_text()
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [text for language, text in FENCED if not language]
INSTALLS = [line for language, text in FENCED if language == "sh" for line in text.splitlines()]
CLASSES = ("crab", "crayfish", "garfield")
SHORT = "15s"
MAKE = f"""
make() {{
    command make -n -C {shlex.quote(str(ROOT))} "$@" > /dev/null
    if [ "$1" = demo ]; then mocosearch demo --photos ~/Pictures; fi
}}
"""
"""Targets of make are only checked; the demo runs, as its target does."""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A user's folder with real photos, some of them as queries, and the program."""
    folder = tmp_path_factory.mktemp("user")
    for number, name in enumerate(CLASSES):
        place = folder / "Pictures" / str(2019 + number) / name
        place.mkdir(parents=True)
        for photo in sorted((data / "caltech101" / name).iterdir())[:14]:
            shutil.copy(photo, place)
    photos = sorted((folder / "Pictures").rglob("*.jpg"))
    for name, photo in zip(("photo", "other", "third"), photos[::14], strict=True):
        shutil.copy(photo, folder / f"{name}.jpg")
    (folder / "new").mkdir()
    shutil.copy(photos[3], folder / "new")
    (folder / "holiday").symlink_to(folder / "Pictures")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run_script(user: Path, script: str, program: str = "bash") -> subprocess.CompletedProcess[str]:
    keep = ("LANG", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONPYCACHEPREFIX")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    path = f"{user}/.venv/bin:{os.environ['PATH']}"
    env |= {"HOME": str(user), "PATH": path, "SHELL": "/bin/bash", "NO_COLOR": "1"}
    words = [sys.executable] if program == "python" else ["bash", "-e", "-o", "pipefail"]
    return subprocess.run(
        [*words, "-c", script], cwd=user, env=env, capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
def test_the_commands_work_in_their_order(user: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in (user / "Pictures").rglob("*"))
    for block in COMMANDS:
        short = re.sub(r"--for \S+", f"--for {SHORT}", block)
        # The last line keeps bash running, because --install-completion looks for its shell.
        outcome = run_script(user, MAKE + short + ":\n")
        assert outcome.returncode == 0, f"{block}\n{outcome.stderr}"
        assert "Traceback" not in outcome.stderr
    assert (user / "evaluation.png").stat().st_size > 1000
    assert (user / "remove.sh").exists()
    assert "mocosearch" in (user / ".bashrc").read_text()
    assert before == sorted((p, p.stat().st_mtime_ns) for p in (user / "Pictures").rglob("*"))


@pytest.mark.slow
def test_the_python_of_the_readme_runs(user: Path) -> None:
    block = "\n".join(text for language, text in FENCED if language == "python")
    outcome = run_script(user, re.sub(r"seconds=\d+", "seconds=15", block), "python")
    assert outcome.returncode == 0, outcome.stderr
    assert len(outcome.stdout.splitlines()) == 5


def lines() -> Iterator[list[str]]:
    """The words of every mocosearch command, in blocks and between backticks."""
    pages = README + "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    inline = re.findall(r"`(mocosearch [^`]+)`", pages)
    for line in [*"\n".join(COMMANDS).splitlines(), *inline]:
        for part in re.split(r"[|;>&]", line.split(" #")[0]):
            words = shlex.split(part)
            if words and os.path.basename(words[0]) == "mocosearch":
                yield words[1:]


@pytest.mark.parametrize("words", list(lines()), ids=" ".join)
def test_commands_and_their_options_exist(words: list[str]) -> None:
    command = next((c for c in (" ".join(words[:2]), words[0]) if c in BY_NAME), "")
    assert command or words[0].startswith("--"), words
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    own = options(command) if command else {"--version", "--install-completion"}
    assert given <= own | {"--help"}


def test_the_options_of_uv_exist() -> None:
    lines = [line.split("#")[0].split() for line in INSTALLS if line.startswith("uv tool install")]
    assert lines
    uv = [sys.executable, "-m", "uv", "tool", "install", "--help"]
    text = subprocess.run(uv, capture_output=True, text=True, check=True).stdout
    for line in lines:
        assert {word for word in line if word.startswith("--")} <= set(text.split())
        assert all((ROOT / word).exists() for word in line if word.endswith(".txt"))
