"""Training in fp16, as on a GPU without bf16, on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mocosearch.moco import precision
from mocosearch.moco.backbones import Backbone
from mocosearch.training.recipes import SMALL
from mocosearch.training.state import Training


def new_training() -> Training:
    pixels = np.random.default_rng(3).integers(0, 256, (8, 40, 40, 3), dtype=np.uint8)
    torch.manual_seed(0)
    recipe = replace(SMALL, size=32, cache_side=40, batch=4, K=4, symmetric=False, splits=1)
    return Training(Backbone("resnet10"), pixels, recipe, 0)


def test_a_loss_is_scaled_down_until_its_gradients_are_finite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "half_precision", lambda device: torch.float16)
    training = new_training()
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
    weight = training.backbone.net.layer4[0].conv1.weight
    before = weight.detach().clone()
    assert training.step(0.5).isfinite()
    assert torch.equal(weight, before)
    assert training.scaler.get_scale() == 2.0**29
    training.scaler.update(2.0**8)
    training.step(0.5)
    assert not torch.equal(weight, before)
    assert weight.isfinite().all()
    again = new_training()
    again.restore(training.state())
    assert again.scaler.get_scale() == 2.0**8
