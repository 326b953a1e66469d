"""Three ways to make keys of the same photos: the encoder, its network untrained, thumbnails."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mocosearch.evaluation import found_first, precision_at, ranking

if TYPE_CHECKING:
    from PIL.Image import Image

    from indexes import Index
    from indexes.search.segments import Keys
    from mocosearch.photos.decode import Pixels

SIDE = 256
"""Longest side of the pictures that are compared, in pixels."""
THUMBNAIL = 8
AT_ONCE = 32
ENCODER = "the encoder"

Way = Callable[[Sequence["Image"]], "Keys"]
Figures = dict[str, dict[str, float]]
"""For each way, each measure in 0..1."""


def ways(index: "Index", pictures: "Sequence[Image]") -> dict[str, Way]:
    """By their names, how each makes keys of unit length, float32 (n, d), of pictures.

    The untrained network is whitened on `pictures`, as an encoder is on its own.
    """
    from mocosearch.training.untrained import untrained

    encoder = index.encoder
    plain = untrained(encoder.card, _squares(pictures, encoder.side))

    def learned(some: "Sequence[Image]") -> "Keys":
        pixels = _squares(some, encoder.side)
        return np.concatenate(
            [encoder.encode(pixels[at : at + AT_ONCE]) for at in range(0, len(pixels), AT_ONCE)]
        )

    return {
        ENCODER: learned,
        "an untrained network": lambda some: plain(_squares(some, encoder.side)),
        f"{THUMBNAIL}x{THUMBNAIL} thumbnails": thumbnails,
    }


def thumbnails(pictures: "Sequence[Image]") -> "Keys":
    """8x8 RGB, each less its mean, of unit length: float32 (n, 192)."""
    flat = _squares(pictures, THUMBNAIL).reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    made: Keys = flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(min=1e-6)
    return made


def asked(
    ways: Mapping[str, Way], views: "Mapping[str, Sequence[Image]]"
) -> "dict[str, dict[str, Keys]]":
    """The keys that each way makes of the views of each kind."""
    return {name: {kind: way(some) for kind, some in views.items()} for name, way in ways.items()}


def by_views(
    ways: Mapping[str, Way],
    pictures: "Sequence[Image]",
    asked: "Mapping[str, Mapping[str, Keys]]",
) -> Figures:
    """How often a view of each kind finds its picture first among all of `pictures`."""
    figures: Figures = {}
    for name, way in ways.items():
        keys, rows = way(pictures), range(len(pictures))
        figures[name] = {kind: found_first(keys, a, rows) for kind, a in asked[name].items()}
    return figures


def by_labels(
    ways: Mapping[str, Way], pictures: "Sequence[Image]", labels: Sequence[str]
) -> Figures:
    """Precision and mean average precision of each way, leave-one-out."""
    return {name: measured(way(pictures), labels) for name, way in ways.items()}


def measured(keys: "Keys", labels: Sequence[str]) -> dict[str, float]:
    """Of keys, float32 (n, d) of unit length, and a label for each."""
    precision = precision_at(keys, labels)
    return {
        "p@1": precision[1],
        "p@10": precision[10],
        "map": ranking(keys, labels).average_precision,
    }


def more_than(figure: float, others: Sequence[float], asked: int) -> bool:
    """Whether a share of `asked` questions is above all others by more than chance explains.

    By two standard errors of the difference of two shares.
    """
    best = max(others)
    mean = (figure + best) / 2
    error = float((2 * mean * (1 - mean) / max(asked, 1)) ** 0.5)
    return figure - best > 2 * error


def _squares(pictures: "Sequence[Image]", side: int) -> "Pixels":
    """uint8 (n, side, side, 3)."""
    from PIL import Image

    small = (p.convert("RGB").resize((side, side), Image.Resampling.BILINEAR) for p in pictures)
    return np.stack([np.asarray(picture) for picture in small])
