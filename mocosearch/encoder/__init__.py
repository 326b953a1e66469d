"""The exported encoder: its card, its whitening, and the runtime from pixels to keys."""

from mocosearch.encoder.card import Card
from mocosearch.encoder.runtime import Encoder

__all__ = ["Card", "Encoder"]
