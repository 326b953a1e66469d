"""The starting network of a run, also after it is resumed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocosearch.encoder.card import Card
from mocosearch.errors import Mismatch, Unsuitable
from mocosearch.home import STARTER
from mocosearch.moco.backbones import Backbone
from mocosearch.pretrained.importers import start_from
from mocosearch.training import run as training
from mocosearch.training.plan import Options, Plan, make_plan, restore_plan
from mocosearch.training.recipes import SMALL, V2, Recipe
from mocosearch.training.run import train
from mocosearch.training.selection import ViewRetrieval


def plan_of(recipe: str | Recipe = "auto", **changed: object) -> Plan:
    return make_plan(recipe, 100, Options(**{"epochs": 1, "seed": 3, **changed}))  # type: ignore[arg-type]


def same(one: Backbone, other: Backbone) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_small_starts_from_the_starter() -> None:
    card = Card.from_json((STARTER / "card.json").read_bytes())
    for plan in (
        plan_of(),
        plan_of("small"),
        plan_of(architecture="efficientnet_lite0"),
        plan_of(init="starter"),
    ):
        assert plan.parent == card.fingerprint
        assert plan.recipe.encode_side == card.side
        assert plan.recipe.frozen == 1
        assert same(plan.start, start_from("starter").backbone)


def test_only_the_starter_has_a_frozen_stage(tmp_path: Path) -> None:
    own = shutil.copytree(STARTER, tmp_path / "own")
    for plan in (
        plan_of(init=str(own)),
        plan_of(init="none"),
        plan_of("v2", init="starter"),
        plan_of(SMALL),
    ):
        assert plan.recipe.frozen == 0


@pytest.mark.parametrize(
    "other",
    [{"init": "none"}, {"recipe": "v2", "architecture": "resnet18"}, {"architecture": "resnet10"}],
)
def test_other_plans_start_from_random_weights(other: dict[str, str]) -> None:
    plan, restored = plan_of(**other), plan_of(**other)
    assert plan.parent is None
    assert same(plan.start, restored.start)
    assert not same(plan.start, plan_of(**other, seed=4).start)


def test_a_custom_recipe_starts_from_random_weights() -> None:
    assert plan_of(SMALL).parent is None
    assert plan_of(V2, architecture="resnet18").start.architecture == "resnet18"


def test_an_architecture_that_differs_from_the_start_raises_mismatch() -> None:
    with pytest.raises(Mismatch, match="efficientnet_lite0"):
        plan_of(init="starter", architecture="resnet18")


def test_a_plan_is_restored_from_its_state() -> None:
    plan = plan_of(seconds=9.5)
    restored = restore_plan(plan.state())
    assert same(restored.start, plan.start)
    for name in ("recipe", "parent", "licence", "corpus", "epochs", "seconds", "seed"):
        assert getattr(restored, name) == getattr(plan, name)
    assert (restored.whitening.projection == plan.whitening.projection).all()
    old = plan.state()
    del old["start"]
    with pytest.raises(Mismatch, match="older"):
        restore_plan(old)


def test_the_starter_cannot_be_overwritten(tmp_path: Path) -> None:
    with pytest.raises(Unsuitable, match="comes with the program"):
        train([tmp_path], STARTER)


def test_a_resumed_run_without_gain_exports_the_starting_network(fill, tmp_path, monkeypatch):
    exports: list[Backbone] = []
    scores = iter([0.9, 0.8, 0.9, 0.8])

    def view_retrieval(backbone, photos):
        return ViewRetrieval(next(scores), np.eye(len(photos), 8, dtype=np.float32))

    def write(backbone, sample, card, folder, page=None, prior=None, start=None):
        exports.append(backbone)
        return card

    monkeypatch.setattr(training, "view_retrieval", view_retrieval)
    monkeypatch.setattr(training, "write_encoder", write)
    folder = fill(tmp_path / "photos", range(12))[0].parent
    # Polled once per photo, then once per step.
    calls = iter(range(10**6))
    usual = {"size": 32, "batch": 4, "epochs": 3}
    train([folder], tmp_path / "e", **usual, stopped=lambda: next(calls) > 13)
    resumed = train([folder], tmp_path / "e", resume=True)
    assert any("the starting network is exported" in sign for sign in resumed.warnings)
    assert same(exports[-1], start_from("starter").backbone)


def test_the_corpus_is_the_starts_followed_by_the_own_photos(tmp_path: Path) -> None:
    starter = Card.from_json((STARTER / "card.json").read_bytes()).corpus
    assert plan_of().corpus_after(learned=True) == f"{starter}; then your own photos"
    assert plan_of().corpus_after(learned=False).startswith(f"{starter}; then")
    assert "whitening alone" in plan_of().corpus_after(learned=False)
    nothing = plan_of(init="none")
    assert nothing.corpus_after(learned=True) == "your own photos"
    own = replace(plan_of(), corpus=f"{starter}; then your own photos")
    assert own.corpus_after(learned=True) == own.corpus
