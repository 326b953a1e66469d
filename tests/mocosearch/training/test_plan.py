"""What a run starts from, and that a run taken up again still knows it."""

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


def plan(recipe: str | Recipe = "auto", **changed: object) -> Plan:
    return make_plan(recipe, 100, Options(**{"epochs": 1, "seed": 3, **changed}))  # type: ignore[arg-type]


def same(one: Backbone, other: Backbone) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_small_starts_from_the_starter() -> None:
    card = Card.from_json((STARTER / "card.json").read_bytes())
    for made in (plan(), plan("small"), plan(architecture="resnet10"), plan(init="starter")):
        assert made.parent == card.fingerprint
        assert made.recipe.encode_side == card.side
        assert made.recipe.frozen == 1
        assert same(made.start, start_from("starter").backbone)


def test_the_first_stage_of_no_other_start_is_held(tmp_path: Path) -> None:
    own = shutil.copytree(STARTER, tmp_path / "own")
    for made in (plan(init=str(own)), plan(init="none"), plan("v2", init="starter"), plan(SMALL)):
        assert made.recipe.frozen == 0


@pytest.mark.parametrize(
    "other",
    [{"init": "none"}, {"recipe": "v2", "architecture": "resnet18"}, {"architecture": "resnet18"}],
)
def test_everything_else_starts_from_nothing(other: dict[str, str]) -> None:
    made, again = plan(**other), plan(**other)
    assert made.parent is None
    assert same(made.start, again.start)
    assert not same(made.start, plan(**other, seed=4).start)


def test_a_recipe_of_ones_own_starts_from_nothing() -> None:
    assert plan(SMALL).parent is None
    assert plan(V2, architecture="resnet18").start.architecture == "resnet18"


def test_another_network_than_the_starts_is_refused() -> None:
    with pytest.raises(Mismatch, match="resnet10"):
        plan(init="starter", architecture="resnet18")


def test_a_plan_survives_its_checkpoint() -> None:
    made = plan(seconds=9.5)
    again = restore_plan(made.state())
    assert same(again.start, made.start)
    for name in ("recipe", "parent", "licence", "corpus", "epochs", "seconds", "seed"):
        assert getattr(again, name) == getattr(made, name)
    assert (again.whitening.projection == made.whitening.projection).all()
    old = made.state()
    del old["start"]
    with pytest.raises(Mismatch, match="older"):
        restore_plan(old)


def test_the_starter_is_no_place_to_train_into(tmp_path: Path) -> None:
    with pytest.raises(Unsuitable, match="part of the program"):
        train([tmp_path], STARTER)


def test_a_resumed_run_that_teaches_nothing_keeps_its_first_start(fill, tmp_path, monkeypatch):
    handed: list[Backbone] = []
    scores = iter([0.9, 0.8, 0.9, 0.8])

    def judge(backbone, photos):
        return ViewRetrieval(next(scores), np.eye(len(photos), 8, dtype=np.float32))

    def write(backbone, sample, card, folder, page=None, prior=None):
        handed.append(backbone)
        return card

    monkeypatch.setattr(training, "view_retrieval", judge)
    monkeypatch.setattr(training, "write_encoder", write)
    folder = fill(tmp_path / "photos", range(12))[0].parent
    # Asked once a photo while each side is decoded, then once a step.
    calls = iter(range(10**6))
    usual = {"size": 32, "batch": 4, "epochs": 3}
    train([folder], tmp_path / "e", **usual, stopped=lambda: next(calls) > 25)
    resumed = train([folder], tmp_path / "e", resume=True)
    assert any("the starting network is exported" in sign for sign in resumed.warnings)
    assert same(handed[-1], start_from("starter").backbone)


def test_the_corpus_is_the_starts_and_then_the_own_photos(tmp_path: Path) -> None:
    starter = Card.from_json((STARTER / "card.json").read_bytes()).corpus
    assert plan().corpus_after(learned=True) == f"{starter}; then your own photos"
    assert plan().corpus_after(learned=False).startswith(f"{starter}; then")
    assert "whitening alone" in plan().corpus_after(learned=False)
    nothing = plan(init="none")
    assert nothing.corpus_after(learned=True) == "your own photos"
    own = replace(plan(), corpus=f"{starter}; then your own photos")
    assert own.corpus_after(learned=True) == own.corpus
