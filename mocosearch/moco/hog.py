"""Where edges run which way: a histogram of oriented gradients a place, learned from nothing."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 8
"""Directions over half a turn."""
PLACES = 5
"""Cells along a side."""


def gradients(pixels: Tensor) -> Tensor:
    """(n, BINS PLACES^2) from float (n, 3, h, w) in 0..1.

    After Dalal and Triggs (CVPR 2005): square root of grey, central differences, energy by
    direction, cells normalised by the cells around them, then the root of each. A few thousand
    photos teach a network textures and colours long before shapes; this block knows shapes
    from the start (benchmarks/recipes.md).
    """
    grey = (pixels * pixels.new_tensor((0.299, 0.587, 0.114))[:, None, None]).sum(1, keepdim=True)
    grey = F.avg_pool2d(grey, 2).sqrt()
    dx = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    dy = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    turns = torch.arange(BINS, device=pixels.device)[:, None, None] * (math.pi / BINS)
    energy = (dx * turns.cos() + dy * turns.sin()).square()
    energy = energy / (energy.sum(1, keepdim=True).sqrt() + 1e-4)
    cells = F.adaptive_avg_pool2d(energy, PLACES)
    around = F.avg_pool2d(
        F.pad(cells.sum(1, keepdim=True).square(), (1, 1, 1, 1), mode="replicate"), 3, 1
    ).sqrt()
    return (cells / (around + 0.02)).sqrt().flatten(1)
