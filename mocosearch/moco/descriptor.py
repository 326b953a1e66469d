"""What a photo is remembered by: several layers pooled, whitened, of unit length."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.moco.backbones import Backbone

GRIDS = (3, 3, 2)
"""Places along a side for the maps of stages 2, 3 and 4. Places tell apart what stands where;
the whole picture finds what stands anywhere; both together beat either on both benchmarks
(benchmarks/recipes.md)."""


class Descriptor(nn.Module):
    """From uint8 pixels to keys, everything that a query needs and nothing else.

    GeM, the generalised mean with power 3 (arXiv:1711.02512), pools the maps of stages 2 to 4
    over the whole picture and over a grid of places; each of the six blocks is brought to unit
    length, and together they are centred and projected by the whitening.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.centre: Tensor
        self.projection: Tensor
        self.register_buffer("centre", torch.zeros(1))
        self.register_buffer("projection", torch.eye(1))

    def whiten_by(self, centre: Tensor, projection: Tensor) -> None:
        """Set the whitening: centre (D,) and projection (D, d)."""
        self.centre, self.projection = centre, projection

    def features(self, pixels: Tensor) -> Tensor:
        """Before whitening: uint8 (n, side, side, 3) to float (n, D)."""
        maps = self.backbone.maps(pixels.permute(0, 3, 1, 2).float() / 255)
        whole = [gem(m, 1) for m in maps]
        placed = [gem(m, places) for m, places in zip(maps, GRIDS, strict=True)]
        return torch.cat([F.normalize(block) for block in whole + placed], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Keys of unit length: uint8 (n, side, side, 3) to float (n, d)."""
        return F.normalize((self.features(pixels) - self.centre) @ self.projection)


def gem(maps: Tensor, places: int) -> Tensor:
    """Generalised mean, power 3, over each cell of a grid: (n, c, h, w) to (n, c places^2)."""
    maps = maps.float().clamp(min=1e-6)
    return F.adaptive_avg_pool2d(maps * maps * maps, places).pow(1 / 3).flatten(1)
