"""What guards a run: numbers that leave the finite, keys that collapse, nothing learned."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocosearch.errors import Diverged
from mocosearch.moco import checkpoint
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.loop import Run, learn, warnings
from mocosearch.moco.recipes import SMALL, fitted
from mocosearch.moco.schedule import Budget
from mocosearch.moco.training import Training

TINY = replace(SMALL, size=32, cache_side=40, encode_side=48, batch=8, K=24, dimension=16)


@pytest.fixture
def training() -> Training:
    pixels = np.random.default_rng(3).integers(0, 256, (50, 40, 40, 3), dtype=np.uint8)
    torch.manual_seed(0)
    return Training(Backbone("resnet10"), pixels, fitted(TINY, 50), 0)


def run_of(folder: Path, training: Training, steps: int) -> list[float]:
    budget = Budget(steps=steps, seconds=None, begun=time.monotonic())
    run = Run(folder, {}, time.monotonic())
    return learn(training, budget, run, lambda: 0.5, lambda progress: None, lambda: False)


def spoil(training: Training) -> None:
    with torch.no_grad():
        next(training.model.encoder_q.parameters()).fill_(math.nan)


def test_a_spoilt_run_goes_back_and_on_in_fp32(training, tmp_path, monkeypatch) -> None:
    step = Training.step
    precisions = []

    def spoilt_once(self: Training, progress: float) -> torch.Tensor:
        if self.steps == 3 and not self.fp32:
            spoil(self)
        precisions.append(self.fp32)
        return step(self, progress)

    monkeypatch.setattr(Training, "step", spoilt_once)
    losses = run_of(tmp_path, training, 6)
    assert all(map(math.isfinite, losses))
    assert training.finite()
    assert training.steps == 6
    assert precisions == [False] * 4 + [True] * 6


def test_a_run_that_stays_spoilt_ends_with_the_reason(training, tmp_path, monkeypatch) -> None:
    step = Training.step

    def spoilt(self: Training, progress: float) -> torch.Tensor:
        if self.steps == 2:
            spoil(self)
        return step(self, progress)

    monkeypatch.setattr(Training, "step", spoilt)
    with pytest.raises(Diverged, match="nan at step 3, in fp32 too"):
        run_of(tmp_path, training, 6)


def test_spoilt_weights_are_not_saved(training, tmp_path) -> None:
    run = Run(tmp_path, {"of": "this run"}, time.monotonic())
    run.save(training)
    training.steps = 1
    spoil(training)
    run.save(training)
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert (state["steps"], state["of"]) == (0, "this run")


def test_collapse_and_standstill_are_said_with_their_numbers(training) -> None:
    chance = training.model.loss_of_chance
    assert chance == pytest.approx(math.log(25))
    training.model.enqueue(torch.randn(24, 128), torch.arange(24))
    assert warnings(training, [chance - 1.0] * 20) == []
    (said,) = warnings(training, [chance - 1.0] * 18 + [chance] * 2)
    assert f"loss {chance:.2f}, chance {chance:.2f}" in said
    training.model.enqueue(torch.ones(24, 128), torch.arange(24))
    (said,) = warnings(training, [chance - 1.0])
    assert "collapsed: they use 1.0 directions" in said
