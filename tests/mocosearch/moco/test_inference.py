"""Inference batches fit into memory for every architecture and size."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mocosearch.moco import inference
from mocosearch.moco.backbones import ARCHITECTURES, Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.inference import MAX_BATCH, MEMORY, encoding_cost, features

SMAPS = Path("/proc/self/smaps")


@pytest.mark.parametrize("side", [160, 560, 1280])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_activations_of_a_batch_fit_into_memory(architecture: str, side: int) -> None:
    cost = encoding_cost(architecture, side)
    assert 1 <= cost.batch <= MAX_BATCH
    assert cost.batch * cost.memory <= MEMORY
    if cost.batch < MAX_BATCH:
        assert (cost.batch + 1) * cost.memory > MEMORY


def test_a_large_network_at_a_large_size_has_a_small_batch() -> None:
    assert encoding_cost("resnet10", 160).batch == MAX_BATCH
    assert encoding_cost("resnet50", 560).batch <= 8


def test_memory_includes_the_tensors_that_are_alive_together() -> None:
    """A residual block of a ResNet-50 adds two tensors of 256 channels, at a quarter of the side,
    into a third one.
    """
    block_output = 4 * 256 * (560 // 4) ** 2
    assert 3 * block_output <= encoding_cost("resnet50", 560).memory <= 6 * block_output


def test_flops_match_the_published_ones() -> None:
    """4.09 billion multiply-adds for a ResNet-50 at 224 pixels in torchvision's table."""
    assert encoding_cost("resnet50", 224).flops == pytest.approx(2 * 4.09e9, rel=0.01)


def test_the_cost_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    encoding_cost.cache_clear()
    encoding_cost("resnet10", 32)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not list resident pages")
def test_features_leave_no_pages_of_a_memory_map_resident(tmp_path: Path) -> None:
    file = tmp_path / "pixels.u8"
    file.write_bytes(np.random.default_rng(0).integers(0, 256, 80 * 64**2 * 3, np.uint8).tobytes())
    pixels = np.memmap(file, np.uint8, "r", shape=(80, 64, 64, 3))
    descriptor = Descriptor(Backbone("resnet10")).eval()
    expected = features(descriptor, np.array(pixels))
    assert resident_kilobytes(file) > 0
    np.testing.assert_allclose(features(descriptor, pixels), expected, atol=1e-5)
    assert resident_kilobytes(file) == 0


def resident_kilobytes(file: Path) -> int:
    entry = SMAPS.read_text().split(str(file))[1]
    return int(re.findall(r"^Rss: +(\d+) kB", entry, re.MULTILINE)[0])


def test_features_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    descriptor = Descriptor(Backbone("resnet10")).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    expected = features(descriptor, pixels)
    sizes = []
    compute = descriptor.features

    def record(part: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        return compute(part)

    monkeypatch.setattr(descriptor, "features", record)
    monkeypatch.setattr(inference, "MEMORY", 3 * encoding_cost("resnet10", 64).memory)
    np.testing.assert_allclose(features(descriptor, pixels), expected, atol=0.02)
    assert sizes == [3, 3, 1]
