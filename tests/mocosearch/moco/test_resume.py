"""A run that was stopped goes on as if it had not been."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mocosearch.errors import Mismatch, NotFound
from mocosearch.moco import checkpoint
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.recipes import SMALL, V3, Recipe, fitted
from mocosearch.moco.train import train
from mocosearch.moco.training import Training

TINY = replace(SMALL, size=32, cache_side=40, encode_side=48, batch=8, K=24, dimension=16)
TINY_V3 = replace(V3, size=32, cache_side=40, encode_side=48, batch=8, dimension=16)


def begun(seed: int = 0, recipe: Recipe = TINY) -> Training:
    pixels = np.random.default_rng(3).integers(0, 256, (50, 40, 40, 3), dtype=np.uint8)
    torch.manual_seed(seed)
    return Training(Backbone("resnet10"), pixels, fitted(recipe, 50), seed)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return bool(torch.equal(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("recipe", [TINY, TINY_V3], ids=["small", "v3"])
def test_restored_steps_are_the_same_bit_for_bit(tmp_path: Path, recipe: Recipe) -> None:
    straight = begun(0, recipe)
    for step in range(8):
        straight.step(step / 8)
    first = begun(0, recipe)
    for step in range(4):
        first.step(step / 8)
    checkpoint.save(tmp_path, first.state())
    second = begun(0, recipe)
    state = checkpoint.latest(tmp_path)
    assert state is not None
    second.restore(state)
    for step in range(4, 8):
        second.step(step / 8)
    assert same(straight.state(), second.state())


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    for steps in (1, 2, 3):
        checkpoint.save(tmp_path, {"steps": steps})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["0000000002.pt", "0000000003.pt"]
    newest = tmp_path / "0000000003.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert state["steps"] == 2
    assert checkpoint.latest(tmp_path / "absent") is None


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


def test_a_stopped_run_resumes_to_the_same_encoder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCOSEARCH_HOME", str(tmp_path / "home"))
    straight = train([folder], tmp_path / "straight", recipe=TINY, epochs=3)
    assert not straight.interrupted
    # Asked once a photo while decoding, then once a step.
    stopped = train([folder], tmp_path / "e", recipe=TINY, epochs=3, stopped=stop_after(2))
    assert stopped.interrupted
    assert stopped.card.epochs < straight.card.epochs
    resumed = train([folder], tmp_path / "e", resume=True)
    assert resumed.card.fingerprint == straight.card.fingerprint
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_resumed_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCOSEARCH_HOME", str(tmp_path / "home"))
    with pytest.raises(NotFound, match="resume"):
        train([folder], tmp_path / "e", resume=True)
    pixels_known = train([folder], tmp_path / "warm", recipe=TINY, epochs=0)
    assert pixels_known.card.epochs == 0
    train([folder], tmp_path / "e", recipe=TINY, epochs=3, stopped=stop_after(1))
    (folder / "00.png").unlink()
    with pytest.raises(Mismatch):
        train([folder], tmp_path / "e", resume=True)
