"""Convolutions of small maps as matrix products, which take less time on CPUs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEWEST = {torch.bfloat16: 200, torch.float32: 2000}
"""Weights per pixel of the output from which a matrix product takes less time than oneDNN's
convolution, forwards and backwards (`python -m benchmarks.convolution_speed`)."""


class Convolution(nn.Conv2d):
    """A convolution that in training on a CPU is computed as a matrix product, where it has many
    weights for few pixels. Parameters have the names of torch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, others, h', w'), as torch's."""
        autocast = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if autocast else x.dtype
        if not self.training or not x.is_cpu or not self._is_small(x, dtype):
            return super().forward(x)
        stride, padding = self.stride[0], int(self.padding[0])
        y: Tensor = _Product.apply(x.to(dtype), self.weight.to(dtype), stride, padding)
        return y if self.bias is None else y + self.bias.to(dtype)[:, None, None]

    def _is_small(self, x: Tensor, dtype: torch.dtype) -> bool:
        stride, padding, kernel = self.stride[0], int(self.padding[0]), self.kernel_size[0]
        sides = [(side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:]]
        pixels = len(x) * sides[0] * sides[1]
        return dtype in FEWEST and self.weight.numel() >= FEWEST[dtype] * pixels


class _Product(torch.autograd.Function):
    """x (n, c, h, w) and weights (o, c, k, k) to (n, o, h', w')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        rows, height, width = _patches(x, weight.shape[2], stride, padding)
        return _maps(rows @ _matrix(weight).T, height, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        others, channels, kernel, _ = weight.shape
        outer = gradient.permute(0, 2, 3, 1).reshape(-1, others)
        of_x = of_weight = None
        if ctx.needs_input_grad[1]:
            rows, _, _ = _patches(x, kernel, ctx.stride, ctx.padding)
            of_weight = (outer.T @ rows).reshape(others, kernel, kernel, channels)
            # DistributedDataParallel wants the layout of the weights, also of kernels of one pixel.
            of_weight = torch.empty_like(weight).copy_(of_weight.permute(0, 3, 1, 2))
        if ctx.needs_input_grad[0]:
            of_x = _gradient_of_input(x, weight, gradient, ctx.stride, ctx.padding)
        return of_x, of_weight, None, None


def _gradient_of_input(
    x: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int
) -> Tensor:
    """With stride 1 the convolution of the gradient with the turned weights; otherwise each patch's
    gradient, added where the patch lies.
    """
    (n, channels, height, width), kernel = x.shape, weight.shape[2]
    if stride == 1 and padding < kernel:
        rows, _, _ = _patches(gradient, kernel, 1, kernel - 1 - padding)
        turned = weight.flip(2, 3).permute(2, 3, 0, 1).reshape(-1, channels)
        return _maps(rows @ turned, height, width)
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight)) @ _matrix(weight)
    down, across = gradient.shape[2:]
    patches = rows.reshape(n, down, across, kernel, kernel, channels)
    total = x.new_zeros(n, height + 2 * padding, width + 2 * padding, channels)
    for i in range(kernel):
        for j in range(kernel):
            total[:, i : i + stride * down : stride, j : j + stride * across : stride] += patches[
                :, :, :, i, j
            ]
    return total[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)


def _patches(x: Tensor, kernel: int, stride: int, padding: int) -> tuple[Tensor, int, int]:
    """(n * h' * w', k * k * c) with h' and w'."""
    x = x.permute(0, 2, 3, 1)
    if padding:
        x = F.pad(x, (0, 0, padding, padding, padding, padding))
    patches = x.unfold(1, kernel, stride).unfold(2, kernel, stride)
    height, width, channels = patches.shape[1:4]
    rows = patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * channels)
    return rows, height, width


def _matrix(weight: Tensor) -> Tensor:
    """(o, c, k, k) as (o, k * k * c)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _maps(rows: Tensor, height: int, width: int) -> Tensor:
    """(n * h * w, c) as (n, c, h, w) in channels_last memory."""
    return rows.reshape(-1, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def use_products(model: nn.Module) -> None:
    """Make every suitable convolution of a model a `Convolution`, with the same parameters."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            # The object stays the same, with its parameters and whatever refers to it.
            module.__class__ = Convolution


def _is_plain(module: nn.Conv2d) -> bool:
    """Whether both axes are alike, and nothing is grouped, spread or mirrored."""
    sizes = module.kernel_size, module.stride, module.padding
    alike = all(not isinstance(size, str) and size[0] == size[1] for size in sizes)
    return (
        alike
        and module.groups == 1
        and set(module.dilation) == {1}
        and (module.padding_mode == "zeros")
    )
