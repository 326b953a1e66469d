"""Two processes with half of each batch train as one with the whole batch."""

import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from mocosearch import train
from mocosearch.errors import NotFound, Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.training import checkpoint
from mocosearch.training.figures.metrics import Metrics
from mocosearch.training.loop import Run, learn
from mocosearch.training.processes.group import (
    Array,
    End,
    Restore,
    Start,
    Step,
    process_group,
    send,
)
from mocosearch.training.recipes import SEED, SMALL, V1, V2, V3, Recipe, fit_to
from mocosearch.training.resume import state_to_resume
from mocosearch.training.schedule import Budget
from mocosearch.training.state import Training

SIZES: dict[str, Any] = {"size": 32, "cache_side": 40, "encode_side": 48, "batch": 8}
SIZES |= {"dimension": 16, "architecture": "resnet10"}
QUEUE: dict[str, Any] = {"K": 24, "dim": 16, "lr": 0.05}
RECIPES = {
    "v1": replace(V1, **SIZES, **QUEUE, splits=2),
    "v2": replace(V2, **{**SIZES, **QUEUE, "batch": 16, "K": 40}, splits=4),
    "v3": replace(V3, **SIZES, dim=16, lr=1.0),
    "small": replace(SMALL, **SIZES, K=24, splits=2, optimizer="sgd", bursts="positive"),
    "teacher": replace(SEED, **SIZES, K=24, dim=16),
}
STEPS = 2
Followed = Callable[..., AbstractContextManager[Path]]


@pytest.fixture(scope="module")
def other() -> Iterator[subprocess.Popen[str]]:
    """The process of rank 1."""
    program = [sys.executable, str(Path(__file__).with_name("follower.py"))]
    pipe, root = subprocess.PIPE, Path(__file__).parents[3]
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, cwd=root) as process:
        yield process
        process.kill()


@pytest.fixture
def followed(other: subprocess.Popen[str], tmp_path: Path) -> Followed:
    """followed(): this process is rank 0 meanwhile; gives the file of rank 1's last state."""

    @contextmanager
    def group(outcome: str = "done") -> Iterator[Path]:
        assert other.poll() is None, "rank 1 has ended in an earlier test"
        meeting, result = tmp_path / f"meeting{time.monotonic_ns()}", tmp_path / "follower.pt"
        other.stdin.write(f"{meeting} {result}\n")
        other.stdin.flush()
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=2)
        dist.barrier()
        try:
            yield result
        except BaseException:
            # Where no loss is expected, it may wait for a message that does not come.
            if outcome == "done":
                other.kill()
            raise
        finally:
            dist.destroy_process_group()
            assert other.stdout.readline() == f"{outcome}\n"

    return group


@pytest.fixture
def pixels(tmp_path: Path) -> np.memmap:
    random = np.random.default_rng(3).integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)
    random.tofile(tmp_path / "pixels.u8")
    return np.memmap(tmp_path / "pixels.u8", np.uint8, "r", shape=random.shape)


def start_of(recipe: Recipe, pixels: np.memmap, triples: bool = False) -> Start:
    torch.manual_seed(0)
    backbone = Backbone("resnet10")
    # Without a queue of MoCo's, nothing divides a batch for batch norm but the processes.
    backbone.fixed_statistics = recipe.T_teacher > 0 or triples
    random = np.random.default_rng(1)
    keys = random.normal(size=(20, 16))
    keys = Array.of((keys / np.linalg.norm(keys, axis=1)[:, None]).astype(np.float16))
    answers = random.integers(0, 20, (9, 3)) if triples else None
    files = (Array.of(pixels), recipe, 5, np.arange(20) // 2)
    return Start(backbone, *files, keys if recipe.T_teacher else None, answers)


def trained(start: Start) -> dict[str, Any]:
    """The state after some steps in fp32, as rank 0 or in one process."""
    send(start)
    torch.manual_seed(1)
    training = start.training("cpu")
    send(Restore(None))
    training.fp32 = True
    for step in range(STEPS):
        send(Step((step + 1) / 10))
        training.losses.append(training.step((step + 1) / 10).item())
    before, after = start.backbone.net.layer4, training.backbone.net.layer4
    assert not torch.equal(before[0].conv1.weight, after[0].conv1.weight)
    return training.state()


def tensors(state: dict[str, Any], *, statistics: bool) -> dict[str, torch.Tensor]:
    """The model's; statistics: with the running statistics of batch norm."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    return {
        name: value
        for name, value in state["model"].items()
        if statistics or not name.endswith(names)
    }


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_train_as_one(name: str, followed: Followed, pixels: np.memmap) -> None:
    recipe = RECIPES[name]
    start = start_of(recipe, pixels, triples=name == "small")
    one = trained(start)
    with followed() as follower:
        two = trained(start)
        send(End())
    assert two["losses"].tolist() == pytest.approx(one["losses"].tolist(), rel=1e-4)
    alone = tensors(one, statistics=name == "v3")
    for key, value in tensors(two, statistics=name == "v3").items():
        torch.testing.assert_close(value, alone[key], rtol=1e-4, atol=1e-5, msg=key)
    theirs = torch.load(follower, weights_only=True)
    same = tensors(theirs, statistics=name == "v3")
    for key, value in tensors(two, statistics=name == "v3").items():
        assert torch.equal(value, same[key]), key
    assert torch.equal(two["generator"], theirs["generator"])


@pytest.fixture
def photos(tmp_path: Path, fill: Callable[..., list[Path]]) -> Path:
    fill(tmp_path / "photos", range(17))
    return tmp_path / "photos"


@pytest.mark.usefixtures("constant_recall", "light_graph")
def test_a_run_in_two_processes_is_stopped_and_resumed_in_one(
    photos: Path, followed: Followed, tmp_path: Path
) -> None:
    """17 photos cannot be halved: a step takes 16."""
    steps: list[int] = []

    def stopped() -> bool:
        steps.append(len(list(tmp_path.glob(".e.training/*.pt"))))
        return steps.count(1) > 2

    recipe = replace(RECIPES["small"], batch=64)
    with followed():
        first = train(photos, tmp_path / "e", recipe=recipe, epochs=3, stopped=stopped)
    assert first.interrupted
    assert first.card.epochs == 2
    assert (first.card.recipe["batch"], first.card.recipe["splits"]) == (16, 2)
    rest = train(photos, tmp_path / "e", resume=True)
    assert (rest.interrupted, rest.card.epochs) == (False, 3)
    with pytest.raises(NotFound, match="no such folder"), followed("lost"):
        train(tmp_path / "nowhere", tmp_path / "other")


def test_a_loss_that_is_not_finite_switches_both_processes_to_fp32(
    followed: Followed, pixels: np.memmap, tmp_path: Path
) -> None:
    steps, losses = 3, []
    with followed() as follower:
        start = start_of(RECIPES["v1"], pixels)
        send(start)
        training = start.training("cpu")
        budget = Budget(steps, None, time.monotonic())

        def report_nan(training: Training) -> Callable[[float], torch.Tensor]:
            step = training.step

            def wrong_once(progress: float) -> torch.Tensor:
                losses.append(step(progress))
                return losses[-1] * (math.nan if len(losses) == 2 else 1)

            return wrong_once

        training.step = report_nan(training)  # type: ignore[method-assign]
        with closing(Metrics(tmp_path, training, budget)) as metrics:
            run = Run(tmp_path / "run", {}, time.monotonic())
            learn(training, budget, run, metrics, lambda: 0.5, lambda at: None, lambda: False)
        send(End())
    ours, theirs = training.state(), torch.load(follower, weights_only=True)
    assert len(losses) == steps + 2
    for state in (ours, theirs):
        assert (state["fp32"], state["steps"]) == (True, steps)
    same = tensors(theirs, statistics=False)
    assert all(
        torch.equal(value, same[key]) for key, value in tensors(ours, statistics=False).items()
    )


@pytest.mark.parametrize(
    ("batch", "photos", "processes", "expected"),
    [(256, 10**6, 8, (256, 8)), (8, 100, 3, (6, 3)), (128, 101, 2, (100, 8)), (64, 64, 1, (64, 8))],
)
def test_each_process_gets_as_many_photos_and_sub_batches(
    batch: int, photos: int, processes: int, expected: tuple[int, int]
) -> None:
    recipe = fit_to(replace(V1, batch=batch), photos, processes)
    assert (recipe.batch, recipe.splits) == expected
    assert recipe.lr / recipe.batch == pytest.approx(V1.lr / batch)


def test_one_photo_per_process_is_too_few() -> None:
    with pytest.raises(Unsuitable, match="5 photos per step are too few for 3 processes"):
        fit_to(V1, 5, 3)


@pytest.mark.parametrize(
    ("device", "what"), [("mps", "cannot use mps"), ("cuda:0", "cannot use cuda:0")]
)
def test_devices_that_processes_cannot_share_are_errors(
    device: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "x", "MASTER_PORT": 1}
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(Unsuitable, match=what), process_group(device):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Unsuitable, match="share 1 GPUs"), process_group("cuda"):
        pass


def test_only_a_restart_by_the_same_torchrun_resumes_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"start": {}, "learned": 1e6, "elapsed": 1e6, "steps": 7, "launcher": os.getppid()}
    checkpoint.save(tmp_path / ".e.training", state)
    with pytest.raises(Unsuitable, match="unfinished run"):
        state_to_resume(tmp_path / "e", False)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert state_to_resume(tmp_path / "e", False) == state
    checkpoint.save(tmp_path / ".e.training", {**state, "launcher": 1, "steps": 8})
    with pytest.raises(Unsuitable, match="unfinished run"):
        state_to_resume(tmp_path / "e", False)


def test_arrays_in_files_are_sent_by_name(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float16).reshape(3, 4)
    np.save(tmp_path / "keys.npy", values)
    by_name = Array.of(np.load(tmp_path / "keys.npy", mmap_mode="r"))
    assert by_name.values is None
    for array in (by_name, Array.of(values), Array.of(by_name.open()[1:] + 0)):
        rows = values if array.open().shape == values.shape else values[1:]
        assert np.array_equal(pickle.loads(pickle.dumps(array)).open(), rows)
