"""Runs with a teacher: from photos to an encoder, stopped, resumed, and judged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocosearch import Encoder, train
from mocosearch.encoder.card import OWN_CORPUS
from mocosearch.errors import NotFound, Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.training import run as training
from mocosearch.training.recipes import SEED, fit_to
from mocosearch.training.state import Training
from mocosearch.training.teacher import teacher_name

TINY = {"architecture": "resnet10", "size": 32, "batch": 8}


@pytest.fixture
def photos(tmp_path: Path, fill: Callable[..., list[Path]]) -> Path:
    fill(tmp_path / "photos", range(24))
    return tmp_path / "photos"


def stop_after(steps: int) -> tuple[Callable[[training.Progress], None], Callable[[], bool]]:
    """A report and a `stopped` that is true once so many steps were asked about."""
    polls: list[int] = []
    training_begun: list[bool] = []

    def report(at: training.Progress) -> None:
        if at.stage == "teacher" and at.done == at.total:
            training_begun.append(True)

    def stopped() -> bool:
        if training_begun:
            polls.append(1)
        return len(polls) > steps

    return report, stopped


@pytest.mark.usefixtures("light_graph")
def test_the_card_names_the_teacher_and_its_licence(photos, tmp_path, encoder):
    stages: list[str] = []
    result = train(
        photos,
        tmp_path / "student",
        **TINY,
        epochs=2,
        teacher=encoder,
        report=lambda at: stages.append(at.stage),
    )
    card = Encoder.open(tmp_path / "student").card
    assert card.recipe["name"] == "seed"
    assert card.recipe["dim"] == encoder.dimension
    assert "teacher" in stages
    assert "the teacher is resnet10" in result.reason
    assert {"teacher_agreement", "teacher_agreement_before"} <= card.quality.keys()
    if card.epochs:
        assert card.teacher is not None
        assert encoder.card.licence in card.teacher
        assert card.corpus.endswith(OWN_CORPUS)
    else:
        assert card.teacher is None


@pytest.mark.usefixtures("light_graph")
def test_a_stopped_run_resumes_with_the_same_keys(photos, tmp_path, encoder):
    report, stopped = stop_after(2)
    folder = tmp_path / "student"
    first = train(photos, folder, **TINY, epochs=4, teacher=encoder, report=report, stopped=stopped)
    assert first.interrupted
    resumed = train(photos, folder, resume=True)
    assert not resumed.interrupted
    assert resumed.card.recipe["name"] == "seed"
    assert (resumed.card.teacher is None) == (resumed.card.epochs == 0)


@pytest.mark.usefixtures("light_graph")
def test_two_teachers_are_named_and_their_keys_joined(photos, tmp_path, encoder):
    train(photos, tmp_path / "other", **TINY, init="none", epochs=0)
    teachers = [encoder, Encoder.open(tmp_path / "other")]
    report, stopped = stop_after(2)
    folder = tmp_path / "student"
    first = train(
        photos, folder, **TINY, epochs=4, teacher=teachers, report=report, stopped=stopped
    )
    assert all(teacher_name(teacher) in first.reason for teacher in teachers)
    resumed = train(photos, folder, resume=True)
    assert resumed.card.recipe["dim"] == sum(teacher.dimension for teacher in teachers)


@pytest.mark.usefixtures("light_graph")
def test_a_resumed_run_without_its_keys_says_so(photos, tmp_path, encoder, home):
    report, stopped = stop_after(2)
    folder = tmp_path / "student"
    train(photos, folder, **TINY, epochs=4, teacher=encoder, report=report, stopped=stopped)
    next((home / "cache").glob("keys-*")).unlink()
    with pytest.raises(NotFound, match="keys are gone"):
        train(photos, folder, resume=True)


@pytest.mark.usefixtures("light_graph")
def test_a_network_that_agrees_less_than_the_start_is_not_exported(
    photos, tmp_path, encoder, monkeypatch
):
    shares = iter([0.3, 0.4, 0.3, 0.4, 0.3, 0.4, 0.3, 0.4])
    monkeypatch.setattr(training, "agreement", lambda student, teacher: next(shares))
    result = train(photos, tmp_path / "student", **TINY, epochs=1, teacher=encoder)
    assert (result.card.epochs, result.card.teacher) == (0, None)
    assert any("30% of the teacher's nearest" in line for line in result.warnings)


def test_a_teacher_does_not_go_with_a_recipe_of_moco(photos, tmp_path, encoder):
    with pytest.raises(Unsuitable, match="recipe v2 has no teacher"):
        train(photos, tmp_path / "student", recipe="v2", teacher=encoder)


def test_a_student_learns_the_teachers_similarities():
    torch.manual_seed(0)
    chance = np.random.default_rng(0)
    colours = chance.integers(0, 256, (64, 1, 1, 3))
    pixels = (colours + chance.integers(-9, 10, (64, 40, 40, 3))).clip(0, 255).astype(np.uint8)
    keys = colours[:, 0, 0] - 127.5
    keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float16)
    recipe = replace(SEED, size=32, cache_side=40, batch=16, dim=3, lr=0.016)
    run = Training(Backbone("resnet10"), pixels, fit_to(recipe, 64), 0, keys=keys)
    losses = [run.step(step / 40).item() for step in range(40)]
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) - 0.3


def test_restored_steps_are_the_same_bit_for_bit():
    chance = np.random.default_rng(1)
    pixels = chance.integers(0, 256, (40, 40, 40, 3), dtype=np.uint8)
    keys = chance.standard_normal((40, 6)).astype(np.float16)
    recipe = fit_to(replace(SEED, size=32, cache_side=40, batch=8, dim=6), 40)

    def begin() -> Training:
        torch.manual_seed(0)
        return Training(Backbone("resnet10"), pixels, recipe, 0, keys=keys)

    straight = begin()
    for step in range(6):
        straight.step(step / 6)
    first = begin()
    for step in range(3):
        first.step(step / 6)
    second = begin()
    second.restore(first.state())
    for step in range(3, 6):
        second.step(step / 6)
    for a, b in zip(
        straight.model.state_dict().values(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
