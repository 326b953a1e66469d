"""Methods that compute keys of pictures: the encoder, and two baselines to compare it with."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from mocosearch.encoder import Encoder
from mocosearch.encoder.card import ONNX
from mocosearch.encoder.whitening import Array
from mocosearch.evaluation.metrics import precision_at, ranking_metrics, recall_at_1
from mocosearch.photos.decode import Pixels
from mocosearch.requirements import has_torch

THUMBNAIL = 8
ENCODER, UNTRAINED, THUMBNAILS = (
    "encoder",
    "untrained network",
    f"{THUMBNAIL}x{THUMBNAIL} thumbnails",
)

Method = Callable[[Sequence[Image.Image]], Array]
"""Keys of pictures: float32 (n, d) of unit length."""
Figures = dict[str, dict[str, float]]
"""For each method, by name, each metric in 0..1."""


def methods(encoder: Encoder, pictures: Sequence[Image.Image]) -> dict[str, Method]:
    """The encoder, its network untrained, and thumbnails, by name.

    The untrained network is whitened on `pictures`, as an encoder is on its photos. It is left
    out if PyTorch is not installed, and for a network from an ONNX file.
    """
    side = encoder.side
    methods: dict[str, Method] = {ENCODER: lambda some: encoder.encode(_squares(some, side))}
    if has_torch() and encoder.card.architecture != ONNX:
        from mocosearch.evaluation.untrained import untrained_encoder

        untrained = untrained_encoder(encoder.card, _squares(pictures, side))
        methods[UNTRAINED] = lambda some: untrained(_squares(some, side))
    methods[THUMBNAILS] = thumbnails
    return methods


def thumbnails(pictures: Sequence[Image.Image]) -> Array:
    """8x8 RGB values, centred and scaled to unit length: float32 (n, 192)."""
    flat = _squares(pictures, THUMBNAIL).reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    keys: Array = flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(min=1e-6)
    return keys


def squares_as_thumbnails(pixels: Pixels) -> Array:
    """The same of uint8 (n, side, side, 3)."""
    return thumbnails([Image.fromarray(picture) for picture in pixels])


def query_keys(
    methods: Mapping[str, Method], alterations: Mapping[str, Sequence[Image.Image]]
) -> dict[str, dict[str, Array]]:
    """For each method and each alteration the keys of the altered pictures."""
    return {
        name: {alteration: method(some) for alteration, some in alterations.items()}
        for name, method in methods.items()
    }


def alteration_recall(
    methods: Mapping[str, Method],
    pictures: Sequence[Image.Image],
    queries: Mapping[str, Mapping[str, Array]],
) -> Figures:
    """For each method and each alteration the share of altered pictures whose nearest key, among
    those of all `pictures`, is that of their original. queries: as from `query_keys`.
    """
    rows = range(len(pictures))
    figures: Figures = {}
    for name, method in methods.items():
        keys = method(pictures)
        figures[name] = {kind: recall_at_1(keys, q, rows) for kind, q in queries[name].items()}
    return figures


def label_metrics(
    methods: Mapping[str, Method], pictures: Sequence[Image.Image], labels: Sequence[str]
) -> Figures:
    """Precision@1 and @10 and mean average precision of each method, leave-one-out."""
    return {name: _label_metrics(method(pictures), labels) for name, method in methods.items()}


def _label_metrics(keys: Array, labels: Sequence[str]) -> dict[str, float]:
    precision = precision_at(keys, labels)
    return {
        "p@1": precision[1],
        "p@10": precision[10],
        "map": ranking_metrics(keys, labels).average_precision,
    }


def significantly_higher(share: float, others: Sequence[float], queries: int) -> bool:
    """Whether a share of `queries` exceeds all others by more than two standard errors of the
    difference of two proportions.
    """
    best = max(others)
    mean = (share + best) / 2
    error = float((2 * mean * (1 - mean) / max(queries, 1)) ** 0.5)
    return share - best > 2 * error


def _squares(pictures: Sequence[Image.Image], side: int) -> Pixels:
    """uint8 (n, side, side, 3)."""
    resized = (p.convert("RGB").resize((side, side), Image.Resampling.BILINEAR) for p in pictures)
    return np.stack([np.asarray(picture) for picture in resized])
