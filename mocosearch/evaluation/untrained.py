"""A network with random weights, as a baseline for a trained one."""

from collections.abc import Callable
from functools import partial

import torch

from mocosearch.encoder import whitening
from mocosearch.encoder.card import Card
from mocosearch.encoder.refit import Refit
from mocosearch.encoder.whitening import Array, Features
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.inference import as_encoder, features
from mocosearch.photos.decode import Pixels

CONVERTED = 300
"""With fewer photos torch is faster: OpenVINO needs seconds for the conversion."""


def untrained_encoder(card: Card, photos: Pixels, seed: int = 0) -> Callable[[Pixels], Array]:
    """An encoder of the card's architecture with random weights, whitened on `photos`.

    photos, and the returned function's argument: uint8 (n, side, side, 3) with the card's side.
    The function returns keys, float32 (n, d) of unit length, with the card's dimension d.
    """
    torch.manual_seed(seed)
    zero = bool(card.recipe.get("zero_init_residual", False))
    backbone = Backbone(card.architecture, zero_init_residual=zero)
    descriptor = Descriptor(backbone).eval()
    compute: Callable[[Pixels], Features] = partial(features, descriptor)
    if len(photos) >= CONVERTED:
        compute = Refit(as_encoder(descriptor, card)).features
    white = whitening.fit(compute(photos), card.dimension)
    return lambda pixels: white.keys(compute(pixels))
