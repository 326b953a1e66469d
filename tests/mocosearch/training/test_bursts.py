"""Photos of one burst in training: masked as negatives, or positives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mocosearch.errors import Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.training.recipes import SMALL, fit_to
from mocosearch.training.state import Training

PLAIN = replace(SMALL.views, scale=(1.0, 1.0), ratio=(1.0, 1.0), mirror=0, jitter=0, grey=0, blur=0)
TINY = replace(SMALL, size=32, cache_side=32, batch=16, K=16, dimension=16, views=PLAIN)
BURSTS = np.array([7, 7, 3, 3, 3, 9, *range(20, 34)])


def step(use: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The model's input in one step; photo i is uniformly grey with level 10 i."""
    levels = np.arange(20, dtype=np.uint8) * 10
    pixels = np.broadcast_to(levels[:, None, None, None], (20, 32, 32, 3)).copy()
    training = Training(
        Backbone("resnet10"),
        pixels,
        fit_to(TINY.with_changes(None, None, None, use), 20),
        0,
        BURSTS,
    )
    inputs_of_steps = []
    training.model.register_forward_pre_hook(lambda _, inputs: inputs_of_steps.append(inputs))
    training.step(0.5)
    ((view_a, view_b, ids),) = inputs_of_steps
    a, b = ((v.mean((1, 2, 3)) * 25.5).round().long() for v in (view_a, view_b))
    return a, b, ids


@pytest.mark.parametrize("use", ["masked", "positive"])
def test_the_model_receives_burst_numbers(use: str) -> None:
    a, _, ids = step(use)
    numbers = torch.from_numpy(BURSTS)[a]
    assert torch.equal(numbers[:, None] == numbers, ids[:, None] == ids)


def test_second_view_is_of_the_photo_or_of_its_burst() -> None:
    a, b, _ = step("masked")
    assert torch.equal(a, b)
    torch.manual_seed(0)
    a, b, _ = step("positive")
    assert (BURSTS[a.numpy()] == BURSTS[b.numpy()]).all()
    assert not torch.equal(a, b)


def test_unknown_use_of_bursts() -> None:
    with pytest.raises(Unsuitable, match="bursts cannot be glued"):
        SMALL.with_changes(None, None, None, "glued")
