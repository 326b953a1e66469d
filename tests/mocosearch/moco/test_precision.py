import pytest
import torch

from mocosearch import train
from mocosearch.errors import Unsuitable
from mocosearch.moco.precision import autocast, half_precision, resolve_device


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
