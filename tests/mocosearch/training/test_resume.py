"""A stopped run continues as if it had not been stopped."""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mocosearch.encoder import Encoder
from mocosearch.errors import Mismatch, NotFound, StorageFailed, Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.training import checkpoint
from mocosearch.training.recipes import SMALL, V3, Recipe, fit_to
from mocosearch.training.run import train
from mocosearch.training.state import Training

TINY = replace(SMALL, size=32, cache_side=40, encode_side=48, batch=8, K=24, dimension=16)
TINY_V3 = replace(V3, size=32, cache_side=40, encode_side=48, batch=8, dimension=16)


def new_training(seed: int = 0, recipe: Recipe = TINY) -> Training:
    pixels = np.random.default_rng(3).integers(0, 256, (50, 40, 40, 3), dtype=np.uint8)
    torch.manual_seed(seed)
    return Training(Backbone("resnet10"), pixels, fit_to(recipe, 50), seed)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return bool(torch.equal(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("recipe", [TINY, TINY_V3], ids=["small", "v3"])
def test_steps_after_restore_are_bit_identical(tmp_path: Path, recipe: Recipe) -> None:
    uninterrupted = new_training(0, recipe)
    for step in range(8):
        uninterrupted.step(step / 8)
    first = new_training(0, recipe)
    for step in range(4):
        first.step(step / 8)
    checkpoint.save(tmp_path, first.state())
    second = new_training(0, recipe)
    state = checkpoint.latest(tmp_path)
    assert state is not None
    second.restore(state)
    for step in range(4, 8):
        second.step(step / 8)
    assert same(uninterrupted.state(), second.state())


def test_a_checkpoint_of_an_older_version_is_restored(tmp_path: Path) -> None:
    """Older versions stored the network and its head as two parameter groups."""
    run, other = new_training(), new_training()
    run.step(0.5)
    state = run.state()
    optimizer = dict(state["optimizer"])
    for name, part in optimizer.items():
        (whole,) = part["param_groups"]
        halves = [
            {**whole, "params": whole["params"][:3]},
            {**whole, "params": whole["params"][3:]},
        ]
        optimizer[name] = {**part, "param_groups": halves}
    other.restore({**state, "optimizer": optimizer})
    assert same(run.state(), other.state())


def test_two_checkpoints_are_kept_and_a_damaged_one_is_skipped(tmp_path: Path) -> None:
    for steps in (1, 2, 3):
        checkpoint.save(tmp_path, {"steps": steps})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["0000000002.pt", "0000000003.pt"]
    newest = tmp_path / "0000000003.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert state["steps"] == 2
    assert checkpoint.latest(tmp_path / "absent") is None


def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python would write truncated bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    checkpoint.save(tmp_path, {"steps": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageFailed, match="checkpoint"):
            checkpoint.save(tmp_path, {"steps": 2, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.latest(tmp_path) == {"steps": 1}
    assert len(list(tmp_path.iterdir())) == 1


def stop_after(calls: int) -> Callable[[], bool]:
    left = calls

    def stopped() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return stopped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(16):
        noise = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((60, 60)).save(photos / f"{number:02}.png")
    return photos


@pytest.mark.usefixtures("light_graph")
def test_a_stopped_run_resumes_to_the_same_encoder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCOSEARCH_HOME", str(tmp_path / "home"))
    uninterrupted = train([folder], tmp_path / "straight", recipe=TINY, epochs=3)
    assert not uninterrupted.interrupted
    # Polled once per photo, then once per step.
    stopped = train([folder], tmp_path / "e", recipe=TINY, epochs=3, stopped=stop_after(2))
    assert stopped.interrupted
    assert stopped.card.epochs < uninterrupted.card.epochs
    resumed = train([folder], tmp_path / "e", resume=True)
    assert resumed.card.fingerprint == uninterrupted.card.fingerprint
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("constant_recall", "light_graph")
def test_a_resumed_run_replaces_its_own_encoder(folder: Path, tmp_path: Path) -> None:
    # Polled once per photo at each of two sizes, then once per step.
    new_training = train([folder], tmp_path / "e", recipe=TINY, epochs=3, stopped=stop_after(33))
    again = train([folder], tmp_path / "e", resume=True, stopped=stop_after(1))
    assert (new_training.interrupted, new_training.previous, new_training.card.epochs) == (
        True,
        False,
        0.5,
    )
    assert (again.interrupted, again.previous, again.card.epochs) == (True, False, 1.0)
    assert Encoder.open(tmp_path / "e").card == again.card
    assert ">2 steps<" in (tmp_path / "e" / "report.html").read_text()
    lines = (tmp_path / "e" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]


@pytest.mark.usefixtures("constant_recall", "light_graph")
def test_an_interrupted_run_does_not_replace_a_previous_encoder(
    folder: Path, tmp_path: Path, encoder_folder: Path
) -> None:
    previous = Encoder.open(encoder_folder)
    shutil.copytree(encoder_folder, tmp_path / "e")
    runs = (({"recipe": TINY, "epochs": 3}, 33), ({"resume": True}, 1))
    for how, polls in runs:
        stopped = train([folder], tmp_path / "e", **how, stopped=stop_after(polls))
        assert (stopped.interrupted, stopped.previous) == (True, True)
        assert stopped.card == Encoder.open(tmp_path / "e").card == previous.card
    resumed = train([folder], tmp_path / "e", resume=True)
    assert (resumed.interrupted, resumed.previous, resumed.card.epochs) == (False, False, 3)
    assert Encoder.open(tmp_path / "e").card == resumed.card
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("light_graph")
def test_a_long_unfinished_run_is_not_discarded(folder: Path, tmp_path: Path) -> None:
    place, states = tmp_path / "e", tmp_path / ".e.training"
    state = {"start": {}, "elapsed": 99999.0, "learned": 24620.0, "steps": 7}
    checkpoint.save(states, state)
    for epochs in (0, 3):
        with pytest.raises(Unsuitable, match="unfinished run of e has trained for 6 h 50 min") as e:
            train([folder], place, recipe=TINY, epochs=epochs)
        assert "--resume" in e.value.hint
    assert checkpoint.latest(states) == state
    assert not (tmp_path / "home").exists()
    checkpoint.save(states, {**state, "learned": 20.0})
    train([folder], place, recipe=TINY, epochs=0)
    assert not states.exists()


@pytest.mark.usefixtures("light_graph")
def test_errors_of_resume(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCOSEARCH_HOME", str(tmp_path / "home"))
    with pytest.raises(NotFound, match="resume"):
        train([folder], tmp_path / "e", resume=True)
    first = train([folder], tmp_path / "warm", recipe=TINY, epochs=0)
    assert first.card.epochs == 0
    train([folder], tmp_path / "e", recipe=TINY, epochs=3, stopped=stop_after(1))
    (folder / "00.png").unlink()
    with pytest.raises(Mismatch):
        train([folder], tmp_path / "e", resume=True)


HOW = {"recipe": "small", "architecture": "resnet10", "size": 32, "batch": 8, "epochs": 30}
PROGRAM = f"""
import sys
from pathlib import Path
from mocosearch.training import checkpoint
from mocosearch.training.run import train
checkpoint.INTERVAL = 0.2
train([sys.argv[1]], Path(sys.argv[2]), **{HOW})
"""


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_encoder(folder: Path, tmp_path: Path) -> None:
    uninterrupted = train([folder], tmp_path / "straight", **HOW)
    run = [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / "e")]
    states, deadline = tmp_path / ".e.training", time.monotonic() + 200
    with subprocess.Popen(run, cwd=Path(__file__).parents[3]) as process:
        while max([0, *(int(p.stem) for p in states.glob("*.pt"))]) < 5:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    assert not (tmp_path / "e").exists()
    resumed = train([folder], tmp_path / "e", resume=True)
    assert resumed.card.fingerprint == uninterrupted.card.fingerprint
    lines = (tmp_path / "e" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, 60)


@pytest.mark.slow
def test_a_run_with_a_time_limit_ends_on_time(folder: Path, tmp_path: Path) -> None:
    """Within 15% of a minute, the export included, on an idle machine."""
    new_training = time.monotonic()
    train([folder], tmp_path / "e", recipe=TINY, seconds=60)
    assert time.monotonic() - new_training == pytest.approx(60, rel=0.15)
