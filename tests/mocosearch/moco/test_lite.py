"""EfficientNet-Lite beside torchvision's MobileNet blocks, which share its shape."""

import pytest
import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual

from mocosearch.moco.backbones import Backbone
from mocosearch.moco.lite import Block, Convolution, Lite


@pytest.mark.parametrize(
    ("architecture", "blocks", "weights"),
    [("efficientnet_lite0", 16, 4_652_008), ("efficientnet_lite2", 21, 6_092_072)],
)
def test_weights_are_those_of_the_published_network_without_its_classifier(
    architecture, blocks, weights
):
    lite = Lite(architecture)
    assert sum(p.numel() for p in lite.parameters()) == weights - 1280 * 1000 - 1000
    assert len(lite._blocks) == blocks


@torch.no_grad()
@pytest.mark.parametrize(("inputs", "outputs", "expansion"), [(8, 8, 6), (8, 12, 6), (8, 8, 1)])
def test_a_block_of_stride_1_is_mobilenets(inputs, outputs, expansion):
    torch.manual_seed(0)
    ours = Block(inputs, outputs, 3, 1, expansion).eval()
    theirs = InvertedResidual(
        inputs, outputs, 1, expansion, norm_layer=lambda c: nn.BatchNorm2d(c, eps=1e-3)
    ).eval()
    values = iter(ours.state_dict().values())
    theirs.load_state_dict({name: next(values) for name in theirs.state_dict()})
    x = torch.randn(2, inputs, 10, 10)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("kernel", [3, 5])
def test_strided_convolutions_pad_as_tensorflow_does(kernel, side):
    """Of the pixels beyond the side, an odd one is on the right and below."""
    torch.manual_seed(0)
    convolution = Convolution(1, 1, kernel, 2)
    x = torch.randn(1, 1, side, side)
    before = (3 * 2 + kernel - side) // 2
    wanted = torch.zeros(4, 4)
    for row in range(4):
        for column in range(4):
            for i in range(kernel):
                for j in range(kernel):
                    y, z = 2 * row + i - before, 2 * column + j - before
                    if 0 <= y < side and 0 <= z < side:
                        wanted[row, column] += convolution.weight[0, 0, i, j] * x[0, 0, y, z]
    assert torch.allclose(convolution(x)[0, 0], wanted, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "widths"),
    [("efficientnet_lite0", (40, 112, 1280)), ("efficientnet_lite2", (48, 120, 1280))],
)
def test_maps_have_the_strides_and_widths_of_a_backbone(architecture, widths):
    backbone = Backbone(architecture).eval()
    maps = backbone.maps(torch.rand(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (1, width, 64 // stride, 96 // stride)
        for width, stride in zip(widths, (8, 16, 32), strict=True)
    ]
    assert backbone.widths == widths
    assert torch.equal(backbone(torch.zeros(1, 3, 64, 64)), backbone(torch.zeros(1, 3, 64, 64)))
