"""Two processes with half of each batch train as one with the whole batch."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from mocosearch import train
from mocosearch.errors import Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.batch_norm import SynchronizedBatchNorm
from mocosearch.training.distributed import Array, End, Restore, Start, Step, send
from mocosearch.training.figures.metrics import Metrics
from mocosearch.training.loop import Run, learn
from mocosearch.training.recipes import SEED, SMALL, V1, V2, V3, Recipe, fit_to
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
Followed = Callable[[], AbstractContextManager[Path]]


@pytest.fixture(scope="module")
def other() -> Iterator[subprocess.Popen[str]]:
    """The process of rank 1."""
    program = [sys.executable, str(Path(__file__).with_name("follower.py"))]
    pipe, root = subprocess.PIPE, Path(__file__).parents[3]
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, cwd=root) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def followed(other: subprocess.Popen[str], tmp_path: Path) -> Followed:
    """followed(): this process is rank 0 meanwhile; gives the file of rank 1's last state."""

    @contextmanager
    def group(outcome: str = "done") -> Iterator[Path]:
        meeting, result = tmp_path / f"meeting{time.monotonic_ns()}", tmp_path / "follower.pt"
        other.stdin.write(f"{meeting} {result}\n")
        other.stdin.flush()
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=2)
        try:
            yield result
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
