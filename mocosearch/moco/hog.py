"""A histogram of oriented gradients per grid cell; nothing in it is learned."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 8
"""Directions over 180 degrees."""
GRID = 5
"""Cells per side."""


def hog(pixels: Tensor) -> Tensor:
    """(n, BINS GRID^2) from float (n, 3, h, w) in 0..1.

    After Dalal and Triggs (CVPR 2005): square root of grey, central differences, energy per
    direction, each cell normalised by its neighbourhood, then the square root. From a few
    thousand photos a network learns textures and colours long before shapes; this block
    represents shapes without training (benchmarks/recipes.md).
    """
    luma = pixels.new_tensor([[0.299, 0.587, 0.114]])
    grey = (luma @ pixels.flatten(2)).reshape(-1, 1, *pixels.shape[2:])
    grey = F.avg_pool2d(grey, 2).sqrt()
    dx = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    dy = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    turns = torch.arange(BINS, device=pixels.device)[:, None, None] * (math.pi / BINS)
    energy = (dx * turns.cos() + dy * turns.sin()).square()
    energy = energy / (energy.sum(1, keepdim=True).sqrt() + 1e-4)
    cells = F.adaptive_avg_pool2d(energy, GRID)
    around = F.avg_pool2d(
        F.pad(cells.sum(1, keepdim=True).square(), (1, 1, 1, 1), mode="replicate"), 3, 1
    ).sqrt()
    return (cells / (around + 0.02)).sqrt().flatten(1)
