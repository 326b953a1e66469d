"""The frozen encoder: its card, its whitening, and the runtime that turns pixels into keys."""

from mocosearch.encoder.card import Card
from mocosearch.encoder.runtime import Encoder

__all__ = ["Card", "Encoder"]
