"""The card: what an encoder says of itself, readable by people and programs."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mocosearch.errors import Damaged

FORMAT = 1
OWN, OTHERS, NOTHING = "own photos", "other photos", "nothing"
"""What a whitening is fitted on."""
OWN_CORPUS = "your own photos"


@dataclass(frozen=True)
class Card:
    """Everything needed to use an encoder rightly, and to know where it comes from."""

    architecture: str
    side: int
    """Pixels of the square that photos are squashed to."""
    dimension: int
    recipe: dict[str, Any]
    photos: int
    epochs: float
    seconds: float
    """Time spent training."""
    parent: str | None
    """Fingerprint or name of what training started from; None is from nothing."""
    fingerprint: str
    created: str
    quality: dict[str, float] = field(default_factory=dict)
    licence: str = "yours: learned from your own photos alone"
    corpus: str = OWN_CORPUS
    """What it was trained on, in the order of it."""
    command: str = ""
    """How to train it again, where it is given to others."""
    teacher: str | None = None
    """Whose keys it learned to make: the teacher's architecture, origin and licence; None if no
    teacher trained these weights."""
    whitening: str = OWN
    """What it is fitted on; an index fits it anew on its photos unless on those already."""
    whitened: int = 0
    """Photos of an index that it was fitted on there."""
    fitted_from: str | None = None
    """Fingerprint of the encoder before that."""
    format: int = FORMAT

    def comes_from(self, fingerprint: str) -> bool:
        """Whether it is that encoder, or that one with its whitening fitted by an index."""
        return fingerprint in (self.fingerprint, self.fitted_from)

    def to_json(self) -> str:
        """One JSON object, indented for people."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Card":
        """Raises Damaged for what is no card, or one of a newer format."""
        try:
            told = json.loads(text)
            version = int(told["format"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise Damaged("the encoder's card cannot be read", "train it again") from error
        if version != FORMAT:
            raise Damaged(
                f"the encoder has format {version}, this mocosearch reads {FORMAT}",
                "update mocosearch" if version > FORMAT else "train it again",
            )
        known = {f.name for f in fields(cls)}
        try:
            return cls(**{name: value for name, value in told.items() if name in known})
        except TypeError as error:
            raise Damaged("the encoder's card is incomplete", "train it again") from error


def fingerprint(graph: bytes, weights: bytes) -> str:
    """What makes two encoders the same: the hash of all that turns pixels into keys."""
    digest = hashlib.blake2b(graph, digest_size=12)
    digest.update(weights)
    return digest.hexdigest()
