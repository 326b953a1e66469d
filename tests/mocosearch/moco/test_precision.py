from dataclasses import replace

import numpy as np
import pytest
import torch

from mocosearch import train
from mocosearch.errors import Unsuitable
from mocosearch.moco import precision
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.precision import autocast, half_precision, resolve_device
from mocosearch.training.recipes import SMALL
from mocosearch.training.state import Training


def test_auto_is_the_accelerator_or_the_cpu():
    assert (resolve_device("auto").type == "cpu") is not torch.accelerator.is_available()
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_ignores_an_accelerator_that_does_not_compute(monkeypatch):
    def accelerator(check_available: bool) -> torch.device:
        return torch.device("meta")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", accelerator)
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:77", "", "meta"])
def test_unknown_device_fails_before_any_work(name, fill, tmp_path):
    fill(tmp_path / "photos", range(3))
    with pytest.raises(Unsuitable, match="no usable device"):
        train([tmp_path / "photos"], tmp_path / "enc", device=name)
    assert not (tmp_path / "enc").exists()


def test_bf16_only_on_devices_with_bf16_arithmetic():
    with autocast("cpu", enabled=False):
        assert not torch.is_autocast_enabled("cpu")
    with autocast("mps"):
        assert not torch.is_autocast_enabled("mps")


@pytest.mark.parametrize("native", [True, False])
def test_cuda_devices_without_bf16_use_fp16_with_a_scaled_loss(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: native)
    assert half_precision("cuda") is (torch.bfloat16 if native else torch.float16)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_scaled_losses_train_in_fp16(monkeypatch, tmp_path, optimizer):
    """As on an old GPU, on the CPU: large losses are scaled down until the gradients are finite."""
    monkeypatch.setattr(precision, "half_precision", lambda device: torch.float16)
    pixels = np.random.default_rng(3).integers(0, 256, (16, 40, 40, 3), dtype=np.uint8)
    small = replace(SMALL, size=32, cache_side=40, batch=8, K=8, optimizer=optimizer)

    def new() -> Training:
        torch.manual_seed(0)
        return Training(Backbone("resnet10"), pixels, small, 0)

    training = new()
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
    weight = training.backbone.net.layer4[0].conv1.weight
    before = weight.detach().clone()
    for _ in range(2):
        assert training.step(0.5).isfinite()
    assert torch.equal(weight, before)
    assert training.scaler.get_scale() == 2.0**28
    training.scaler.update(2.0**8)
    training.step(0.5)
    assert not torch.equal(weight, before)
    assert weight.isfinite().all()
    again = new()
    again.restore(training.state())
    assert again.scaler.get_scale() == 2.0**8
