"""The descriptor that becomes a photo's key: pooled layers, whitened, of unit length."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.encoder.whitening import DIMENSION, random_projection
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.hog import hog

GRIDS = (3, 3, 2)
"""Cells per side of the grids for the maps of stages 2, 3 and 4. Grid cells encode position, the
whole picture is independent of it; together they beat either on both benchmarks
(benchmarks/recipes.md)."""
BLANK = (64, 64, 3)
"""A picture for counting features, which do not depend on the side."""


class Levels(nn.Module):
    """What `small` trains: stages 2 to 4 pooled over the whole picture, (n, width).

    The papers train the average of the last stage alone. A loss on every stage that the
    descriptor uses trains all of them from the first step (benchmarks/recipes.md).

    unit: each stage is scaled to unit length, as in the descriptor.
    """

    def __init__(self, backbone: Backbone, *, unit: bool = False) -> None:
        super().__init__()
        self.backbone, self.unit = backbone, unit
        self.width = sum(backbone.widths)

    def forward(self, pixels: Tensor) -> Tensor:
        """GeM of stages 2 to 4, from float (n, 3, h, w) in 0..1."""
        stages = [gem(m, 1) for m in self.backbone.maps(pixels)]
        return torch.cat([F.normalize(s) for s in stages] if self.unit else stages, 1)


class Descriptor(nn.Module):
    """From uint8 pixels to keys: the module that is exported.

    GeM, the generalised mean with power 3 (arXiv:1711.02512), pools the maps of stages 2 to 4
    over the whole picture and over a grid; a seventh block is the histogram of edge directions.
    Each block is scaled to unit length; the concatenation is whitened.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.centre: Tensor
        self.projection: Tensor
        self.register_buffer("centre", torch.zeros(1))
        self.register_buffer("projection", torch.eye(1))

    def set_whitening(self, centre: Tensor, projection: Tensor) -> None:
        """Set the whitening: centre (D,) and projection (D, d)."""
        self.centre, self.projection = centre, projection

    def set_random_projection(self, dimension: int = DIMENSION) -> None:
        """Until a whitening is fitted: `whitening.random_projection`."""
        with torch.no_grad():
            blank = torch.zeros(1, *BLANK, dtype=torch.uint8)
            white = random_projection(self.features(blank).shape[1], dimension)
        self.set_whitening(torch.from_numpy(white.centre), torch.from_numpy(white.projection))

    def features(self, pixels: Tensor) -> Tensor:
        """Before whitening: uint8 (n, side, side, 3) to float (n, D)."""
        scaled = pixels.permute(0, 3, 1, 2).float() / 255
        maps = self.backbone.maps(scaled)
        whole = [gem(m, 1) for m in maps]
        cells = [gem(m, grid) for m, grid in zip(maps, GRIDS, strict=True)]
        blocks = [*whole, *cells, hog(scaled)]
        return torch.cat([F.normalize(block) for block in blocks], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Keys of unit length: uint8 (n, side, side, 3) to float (n, d)."""
        return F.normalize((self.features(pixels) - self.centre) @ self.projection)


def gem(maps: Tensor, grid: int) -> Tensor:
    """Generalised mean, power 3, over each cell of a grid: (n, c, h, w) to (n, c grid^2)."""
    maps = maps.float().clamp(min=1e-6)
    return _averages(maps * maps * maps, grid).pow(1 / 3).flatten(1)


def _averages(maps: Tensor, grid: int) -> Tensor:
    """The average of each cell as torch's adaptive pooling divides a map: (n, c, grid, grid).

    Cells of one size at equal distances are pooled the ordinary way: OpenVINO's adaptive pooling
    takes four times as long.
    """
    height, width = maps.shape[2:]
    size = -(-height // grid)
    step = max(1, (height - size) // max(1, grid - 1))
    cells = [(at * height // grid, -(-(at + 1) * height // grid)) for at in range(grid)]
    if height == width and cells == [(at * step, at * step + size) for at in range(grid)]:
        return F.avg_pool2d(maps, size, step)
    return F.adaptive_avg_pool2d(maps, grid)
