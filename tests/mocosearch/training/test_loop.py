"""Runs that fail: NaN losses and weights, collapsed keys, no learning, too little memory."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocosearch.errors import Diverged, Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.training import checkpoint
from mocosearch.training.figures.metrics import Metrics
from mocosearch.training.loop import Progress, Run, learn, warnings
from mocosearch.training.recipes import SMALL, fit_to
from mocosearch.training.schedule import Budget
from mocosearch.training.state import Training

TINY = replace(SMALL, size=32, cache_side=40, encode_side=48, batch=8, K=24, dimension=16)


@pytest.fixture
def training() -> Training:
    pixels = np.random.default_rng(3).integers(0, 256, (50, 40, 40, 3), dtype=np.uint8)
    torch.manual_seed(0)
    return Training(Backbone("resnet10"), pixels, fit_to(TINY, 50), 0)


def run_of(
    folder: Path,
    training: Training,
    steps: int,
    report: Callable[[Progress], None] = lambda progress: None,
    view_recall: Callable[[], float] = lambda: 0.5,
) -> list[float]:
    budget = Budget(steps=steps, seconds=None, start=time.monotonic())
    run = Run(folder, {}, time.monotonic())
    metrics = Metrics(folder, training, budget)
    learn(training, budget, run, metrics, view_recall, report, lambda: False)
    return training.losses


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_stages_do_not_change(tmp_path: Path, frozen: int, optimizer: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (50, 40, 40, 3), dtype=np.uint8)
    start = Backbone("resnet10")
    before = {name: value.clone() for name, value in start.named_parameters()}
    recipe = replace(fit_to(TINY, 50), frozen=frozen, optimizer=optimizer)
    training = Training(start, pixels, recipe, 0)
    run_of(tmp_path, training, 3)
    frozen_names = ("net.conv1", "net.bn1", "net.layer1", "net.layer2")[: frozen and frozen + 2]
    encoder_k = training.model.encoder_k[0].backbone
    for network in (training.backbone, encoder_k):
        for name, value in network.named_parameters():
            same = torch.equal(value, before[name])
            assert same == name.startswith(frozen_names), name
    assert all(value.requires_grad for value in start.parameters())


def set_nan(training: Training) -> None:
    with torch.no_grad():
        next(training.model.encoder_q.parameters()).fill_(math.nan)


def test_a_nan_resumes_from_the_checkpoint_in_fp32(training, tmp_path, monkeypatch) -> None:
    step = Training.step
    precisions = []

    def step_with_nan_once(self: Training, progress: float) -> torch.Tensor:
        if self.steps == 3 and not self.fp32:
            set_nan(self)
        precisions.append(self.fp32)
        return step(self, progress)

    monkeypatch.setattr(Training, "step", step_with_nan_once)
    monkeypatch.setattr(time, "monotonic", iter(range(10**6)).__next__)
    monkeypatch.setattr("mocosearch.training.figures.metrics.INTERVAL", 0)
    reports: list[Progress] = []
    losses = run_of(tmp_path, training, 6, reports.append)
    assert len(losses) == 6
    assert all(map(math.isfinite, losses))
    assert all(progress.images_per_second >= 0 for progress in reports)
    assert training.finite()
    assert training.steps == 6
    assert precisions == [False] * 4 + [True] * 6
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_a_nan_in_fp32_raises_diverged(training, tmp_path, monkeypatch) -> None:
    step = Training.step

    def step_with_nan(self: Training, progress: float) -> torch.Tensor:
        if self.steps == 2:
            set_nan(self)
        return step(self, progress)

    monkeypatch.setattr(Training, "step", step_with_nan)
    with pytest.raises(Diverged, match="nan at step 3, in fp32 too"):
        run_of(tmp_path, training, 6)


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["before a checkpoint", "at the end"])
def test_nan_weights_after_a_finite_loss_are_never_evaluated(
    training, tmp_path, monkeypatch, seconds
) -> None:
    step, finite = Training.step, []

    def step_then_nan(self: Training, progress: float) -> torch.Tensor:
        loss = step(self, progress)
        if self.steps == 4 and not self.fp32:
            set_nan(self)
        return loss

    def view_recall() -> float:
        finite.append(training.finite())
        return 0.5

    monkeypatch.setattr(Training, "step", step_then_nan)
    monkeypatch.setattr(checkpoint, "INTERVAL", seconds)
    losses = run_of(tmp_path, training, 4, view_recall=view_recall)
    assert training.finite()
    assert training.fp32
    assert len(losses) == training.steps == 4
    assert all(finite)


def test_out_of_memory_raises_unsuitable(training, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Training, "step", lambda self, progress: torch.empty(1 << 60).sum())
    with pytest.raises(Unsuitable, match="does not fit into memory") as caught:
        run_of(tmp_path, training, 1)
    assert "--batch" in caught.value.hint

    def defect(self: Training, progress: float) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Training, "step", defect)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_of(tmp_path, training, 1)


def test_nan_weights_are_not_saved(training, tmp_path) -> None:
    run = Run(tmp_path, {"of": "this run"}, time.monotonic())
    run.save(training)
    training.steps = 1
    set_nan(training)
    run.save(training)
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert (state["steps"], state["of"]) == (0, "this run")


def test_warnings_report_collapse_and_lack_of_progress(training) -> None:
    chance = training.model.chance_loss
    assert chance == pytest.approx(math.log(25))
    training.model.enqueue(torch.randn(24, 128), torch.arange(24))
    training.losses = [chance - 1.0] * 20
    assert warnings(training) == []
    training.losses = [chance - 1.0] * 18 + [chance] * 2
    (reports,) = warnings(training)
    assert f"loss {chance:.2f}, chance {chance:.2f}" in reports
    training.model.enqueue(torch.ones(24, 128), torch.arange(24))
    training.losses = [chance - 1.0]
    (reports,) = warnings(training)
    assert "collapsed: effective rank 1.0" in reports
