"""`train` in two processes that torchrun starts."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from program import environment, make_photos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SECONDS = 500
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SMALL = ("--arch", "resnet10", "--init", "none", "--size", 32, "--batch", 8, "--device", "cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 24)
    return tmp_path / "photos"


@contextmanager
def torchrun(
    home: Path, *words: object, restarts: int = 0
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """The running program, and a function that gives its output on stderr so far."""
    line = [*TORCHRUN, "--max-restarts", str(restarts), "-m", "cli", *map(str, words)]
    root, log = Path(__file__).parents[2], home.parent / f"stderr{time.monotonic_ns()}"
    with (
        open(log, "w") as stderr,
        subprocess.Popen(
            line, cwd=root, env=environment(home), text=True, stdout=subprocess.PIPE, stderr=stderr
        ) as process,
    ):
        try:
            yield process, log.read_text
        finally:
            # torchrun that is killed does not end its processes.
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()


def wait_for_a_step(checkpoints: Path, process: subprocess.Popen[str]) -> psutil.Process:
    """Returns the process of rank 1 once training has begun."""
    deadline = time.monotonic() + SECONDS
    while not any(checkpoints.glob("*.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    children = psutil.Process(process.pid).children()
    (other,) = (child for child in children if child.environ().get("RANK") == "1")
    return other


def test_two_processes_write_one_encoder_and_one_output(photos: Path, tmp_path: Path) -> None:
    whole = next(photos.iterdir()).read_bytes()
    (photos / "broken.jpg").write_bytes(whole[:200])
    with torchrun(tmp_path / "home", "train", photos, *SMALL, "--epochs", 2, "--json") as (
        process,
        stderr,
    ):
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, stderr()
    document = json.loads(output)
    assert (document["skipped"], document["card"]["recipe"]["batch"]) == (1, 8)
    assert stderr().count("\nencoder: ") == stderr().count("recipe small: ") == 1
    assert stderr().count("skipped ") == 1
    assert [path.name for path in (tmp_path / "home" / "encoders").iterdir()] == ["default"]


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_run_continues_after_a_process_was_killed(
    photos: Path, tmp_path: Path, restarts: int
) -> None:
    home = tmp_path / "home"
    checkpoints = home / "encoders" / ".default.training"
    words = ("train", photos, *SMALL, "--epochs", 4)
    with torchrun(home, *words, restarts=restarts) as (process, stderr):
        wait_for_a_step(checkpoints, process).kill()
        process.wait(SECONDS)
    # torchrun itself ends with a traceback.
    assert "mocosearch/" not in stderr()
    assert "error: another process of the run has ended" in stderr()
    if restarts == 0:
        assert process.returncode != 0
        assert any(checkpoints.glob("*.pt"))
        with torchrun(home, "train", photos, "--resume") as (process, stderr):
            process.wait(SECONDS)
    assert process.returncode == 0, stderr()
    assert json.loads((home / "encoders" / "default" / "card.json").read_text())["photos"] == 24
    assert not checkpoints.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_processes_with_a_checkpoint(
    photos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    home = tmp_path / "home"
    checkpoints = home / "encoders" / ".default.training"
    with torchrun(home, "train", photos, *SMALL, "--epochs", 10_000) as (process, stderr):
        wait_for_a_step(checkpoints, process)
        process.send_signal(number)
        process.wait(SECONDS)
    assert stderr().count("stopping after this step") == 1, stderr()
    # torchrun ends them after 30 seconds, which may be too short for the encoder.
    assert max(int(path.stem) for path in checkpoints.glob("*.pt")) > 0
