"""A network that has learned nothing, to compare one with that has."""

from collections.abc import Callable

import torch

from mocosearch.encoder import whitening
from mocosearch.encoder.card import Card
from mocosearch.encoder.whitening import Array
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor, features
from mocosearch.photos.decode import Pixels


def untrained(card: Card, photos: Pixels, seed: int = 0) -> Callable[[Pixels], Array]:
    """An encoder like the card's with weights as training begins with, whitened on `photos`.

    photos, and what the answer takes: uint8 (n, side, side, 3), the card's side. It gives
    float32 (n, d) of unit length, for d the card's dimension.
    """
    torch.manual_seed(seed)
    zero = bool(card.recipe.get("zero_init_residual", False))
    backbone = Backbone(card.architecture, zero_init_residual=zero)
    descriptor = Descriptor(backbone).eval()
    white = whitening.fit(features(descriptor, photos), card.dimension)
    return lambda pixels: white.keys(features(descriptor, pixels))
