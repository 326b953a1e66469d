"""What a photo is remembered by: several layers pooled, whitened, of unit length."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.encoder.whitening import Array
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.hog import gradients
from mocosearch.photos.decode import Pixels
from mocosearch.training.precision import autocast

GRIDS = (3, 3, 2)
"""Places along a side for the maps of stages 2, 3 and 4. Places tell apart what stands where;
the whole picture finds what stands anywhere; both together beat either on both benchmarks
(benchmarks/recipes.md)."""


class Levels(nn.Module):
    """What `small` trains: every stage of the descriptor over the whole picture, (n, width).

    The papers train the last stage's average alone; a loss that sees all that is searched with
    teaches each of it from the first step (benchmarks/recipes.md).
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = sum(backbone.widths)

    def forward(self, pixels: Tensor) -> Tensor:
        """GeM of stages 2 to 4, from float (n, 3, h, w) in 0..1."""
        return torch.cat([gem(m, 1) for m in self.backbone.maps(pixels)], 1)


class Descriptor(nn.Module):
    """From uint8 pixels to keys, everything that a query needs and nothing else.

    GeM, the generalised mean with power 3 (arXiv:1711.02512), pools the maps of stages 2 to 4
    over the whole picture and over a grid of places; a seventh block holds the directions of
    edges. Each block is brought to unit length, and together they are centred and projected by
    the whitening.
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
        scaled = pixels.permute(0, 3, 1, 2).float() / 255
        maps = self.backbone.maps(scaled)
        whole = [gem(m, 1) for m in maps]
        placed = [gem(m, places) for m, places in zip(maps, GRIDS, strict=True)]
        blocks = [*whole, *placed, gradients(scaled)]
        return torch.cat([F.normalize(block) for block in blocks], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Keys of unit length: uint8 (n, side, side, 3) to float (n, d)."""
        return F.normalize((self.features(pixels) - self.centre) @ self.projection)


def gem(maps: Tensor, places: int) -> Tensor:
    """Generalised mean, power 3, over each cell of a grid: (n, c, h, w) to (n, c places^2)."""
    maps = maps.float().clamp(min=1e-6)
    return F.adaptive_avg_pool2d(maps * maps * maps, places).pow(1 / 3).flatten(1)


@torch.no_grad()
def features(descriptor: Descriptor, pixels: Pixels, batch: int = 64) -> Array:
    """The unwhitened features of many photos: uint8 (n, side, side, 3) to float32 (n, D)."""
    parts = []
    for start in range(0, len(pixels), batch):
        part = torch.from_numpy(np.array(pixels[start : start + batch]))
        with autocast():
            parts.append(descriptor.features(part).float().numpy())
    return np.concatenate(parts)
