"""How much a network finds, told by the photos themselves and without labels."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from mocosearch.encoder import whitening
from mocosearch.encoder.whitening import Array
from mocosearch.evaluation import found_first
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor, features
from mocosearch.moco.views import ViewSettings, draw, render
from mocosearch.photos.decode import Pixels

PHOTOS = 500
HARD = ViewSettings(scale=(0.15, 0.7), grey=0.3)
"""Views that shapes find and colours alone do not."""


@dataclass(frozen=True)
class Judged:
    """`found`: share of photos, 0..1, that a hard view of each finds first among all; `keys`:
    float32 (n, d), the photos' keys, of unit length.
    """

    found: float
    keys: Array


def asked_of(photos: Pixels) -> Pixels:
    """PHOTOS of a collection at most, evenly spread: its folders in turn, not the first alone."""
    chosen = np.linspace(0, len(photos) - 1, min(PHOTOS, len(photos))).astype(int)
    return np.array(photos[chosen])


def judge(backbone: Backbone, photos: Pixels, seed: int = 0) -> Judged:
    """Ask a network for photos by hard views of them, without labels.

    photos: uint8 (n, side, side, 3), as of `asked_of`. Views and
    whitening are the same at every call with the same seed, so that two networks can be
    compared. Over networks of this house its order is nearly that of P@10 with labels
    (benchmarks/recipes.md).
    """
    n, side = photos.shape[0], photos.shape[1]
    generator = torch.Generator().manual_seed(seed)
    views = [
        _view(torch.from_numpy(photos[start : start + 50]), side, generator)
        for start in range(0, n, 50)
    ]
    descriptor = Descriptor(deepcopy(backbone).cpu()).float().eval()
    plain = features(descriptor, photos)
    white = whitening.fit(plain, 256)
    keys = white.keys(plain)
    asked = white.keys(features(descriptor, np.concatenate(views)))
    return Judged(found_first(keys, asked, range(n)), keys)


def _view(photos: torch.Tensor, side: int, generator: torch.Generator) -> Pixels:
    drawn = draw(len(photos), side, side, HARD, generator)
    scaled = render(photos, drawn, side).mul_(255).round_().byte()
    pixels: Pixels = scaled.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
