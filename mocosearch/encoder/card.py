"""The card: an encoder's metadata as JSON."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mocosearch.errors import Damaged

FORMAT = 1
OWN, OTHERS, NOTHING = "own photos", "other photos", "nothing"
"""Values of `Card.whitening`: the photos that a whitening was fitted on."""
OWN_CORPUS = "your own photos"
ONNX = "onnx"
"""`Card.architecture` of a network from an ONNX file, which cannot be trained here."""


@dataclass(frozen=True)
class Card:
    """How to use an encoder, and its origin."""

    architecture: str
    side: int
    """Side in pixels of the square that photos are resized to."""
    dimension: int
    recipe: dict[str, Any]
    photos: int
    epochs: float
    seconds: float
    """Duration of the training run."""
    parent: str | None
    """Fingerprint or name of the starting network; None for random weights."""
    fingerprint: str
    created: str
    quality: dict[str, float] = field(default_factory=dict)
    licence: str = "yours: learned from your own photos alone"
    corpus: str = OWN_CORPUS
    """The training data, in the order of training."""
    command: str = ""
    """The command to train it again, for an encoder that is distributed."""
    teacher: str | None = None
    """Architecture, origin and licence of the encoder that taught these weights; None for MoCo."""
    whitening: str = OWN
    """OWN, OTHERS or NOTHING; an index fits it to its photos unless it is OWN."""
    whitened: int = 0
    """Number of photos that an index fitted the whitening on."""
    fitted_from: str | None = None
    """Fingerprint of the encoder before an index fitted its whitening."""
    format: int = FORMAT

    def comes_from(self, fingerprint: str) -> bool:
        """Whether this is the encoder with that fingerprint, or was made from it by an index."""
        return fingerprint in (self.fingerprint, self.fitted_from)

    def to_json(self) -> str:
        """One indented JSON object."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Card":
        """The inverse of `to_json`; unknown fields are ignored. Raises Damaged for anything that is
        not a card, and for a card of another format.
        """
        try:
            values = json.loads(text)
            version = int(values["format"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise Damaged("the encoder's card cannot be read", "train it again") from error
        if version != FORMAT:
            raise Damaged(
                f"the encoder has format {version}, this mocosearch reads format {FORMAT}",
                "update mocosearch" if version > FORMAT else "train it again",
            )
        names = {f.name for f in fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in names})
        except TypeError as error:
            raise Damaged("the encoder's card is incomplete", "train it again") from error


def fingerprint(graph: bytes, weights: bytes) -> str:
    """The identity of an encoder: a hash of its graph and weights, 24 hexadecimal digits."""
    digest = hashlib.blake2b(graph, digest_size=12)
    digest.update(weights)
    return digest.hexdigest()
