"""The papers' evaluation, on the features of the same photos by several methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mocosearch.encoder import Encoder
from mocosearch.encoder.card import ONNX
from mocosearch.encoder.export import TRAINED
from mocosearch.encoder.whitening import Array
from mocosearch.errors import MocosearchError, NoPhotos
from mocosearch.evaluation.baselines import THUMBNAILS, Figures, squares_as_thumbnails
from mocosearch.evaluation.classify import (
    accuracy,
    knn_predictions,
    linear_predictions,
    training_rows,
)
from mocosearch.evaluation.evaluate import Evaluation
from mocosearch.evaluation.untrained import untrained_encoder
from mocosearch.home import STARTER, names, path_of
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.inference import encoding_cost
from mocosearch.photos import FileStat, Photo, read_photos
from mocosearch.photos.decode import Pixels
from mocosearch.pretrained.importers import start_from

KEYS, LAST = "keys", "last stage"
"""Our keys, and what the papers classify by: the last stage of the network, averaged."""

MOST = 20_000
"""Photos that are read at most: 1.5 GB of pixels at 160 a side."""

Features = Callable[[Pixels], Array]
"""Features of uint8 (n, side, side, 3): float32 (n, d) of unit length."""


@dataclass(frozen=True)
class LabelledPhotos:
    """pixels: uint8 (n, side, side, 3); a label for each."""

    pixels: Pixels
    labels: list[str]


def read_labelled(
    paths: Sequence[str],
    labels: Sequence[str],
    side: int,
    report: Callable[[int, int], None] = lambda photos, total: None,
    most: int = MOST,
) -> LabelledPhotos:
    """The photos that can be read, at most `most` random ones.

    Raises NoPhotos for fewer than two.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(paths))[:most]).tolist()
    label_of = {paths[row]: labels[row] for row in rows}
    files = [FileStat(path, 0, 0) for path in label_of]
    pixels, names_of = [], []
    for number, (file, result) in enumerate(read_photos(files, side)):
        report(number + 1, len(files))
        if isinstance(result, Photo):
            pixels.append(result.picture.pixels)
            names_of.append(label_of[file.path])
    if len(pixels) < 2:
        raise NoPhotos("too few photos can be read", "mount the disk that holds them")
    return LabelledPhotos(np.stack(pixels), names_of)


def evaluate_classification(
    encoder: Encoder,
    photos: LabelledPhotos,
    test: LabelledPhotos | None,
    knn: bool,
    percents: Sequence[float],
) -> Evaluation:
    """How often the label of a photo is predicted, by each method of `feature_methods`.

    test: the photos to predict. Without them, kNN predicts each photo from all others, and the
    linear classifier those that it was not trained on. percents: of the labels, for the linear
    classifier; 100 needs `test`.

    Raises MissingPackage where a linear classifier needs scikit-learn.
    """
    figures: Figures = {}
    for name, method in feature_methods(encoder, photos.pixels).items():
        features = method(photos.pixels)
        others = None if test is None else (method(test.pixels), test.labels)
        figures[name] = {"kNN": _knn(features, photos.labels, others)} if knn else {}
        for percent in percents:
            share = _linear(features, photos.labels, others, percent)
            figures[name][f"linear {percent:g}%"] = share
    own = figures[f"encoder, {KEYS}"]
    metric, share = next(iter(own.items()))
    n = len(photos.labels if test is None else test.labels)
    summary = (
        f"By {metric} the labels of {share:.0%} of {n} photos are predicted from the encoder's "
        f"keys, of {figures[THUMBNAILS][metric]:.0%} from thumbnails."
    )
    counts: dict[str, float | int] = {
        "photos": len(photos.labels),
        "labels": len(set(photos.labels)),
        "predicted": n,
    }
    return Evaluation(counts, figures, n, summary)


def _knn(features: Array, labels: list[str], others: tuple[Array, list[str]] | None) -> float:
    if others is None:
        own = np.arange(len(features))
        return accuracy(knn_predictions(features, labels, features, own), labels)
    return accuracy(knn_predictions(features, labels, others[0]), others[1])


def _linear(
    features: Array, labels: list[str], others: tuple[Array, list[str]] | None, percent: float
) -> float:
    train = training_rows(labels, percent)
    names_of = np.array(labels)
    rest = np.setdiff1d(np.arange(len(labels)), train)
    queries, wanted = others or (features[rest], names_of[rest].tolist())
    predictions = linear_predictions(features[train], names_of[train].tolist(), queries)[0]
    return accuracy(predictions, wanted)


def feature_methods(encoder: Encoder, photos: Pixels) -> dict[str, Features]:
    """The encoder and its network untrained, each by its keys and by its last stage, and
    thumbnails, by name.

    photos: uint8 (n, side, side, 3), on which the untrained network's keys are whitened. The
    encoder's last stage is left out where none of the encoders in the home has its weights.
    """
    methods: dict[str, Features] = {f"encoder, {KEYS}": encoder.encode}
    if network := _network_of(encoder):
        methods[f"encoder, {LAST}"] = lambda pixels: last_stage(network, pixels)
    if encoder.card.architecture != ONNX:
        torch.manual_seed(0)
        untrained = Backbone(encoder.card.architecture)
        methods[f"untrained, {KEYS}"] = untrained_encoder(encoder.card, photos)
        methods[f"untrained, {LAST}"] = lambda pixels: last_stage(untrained, pixels)
    methods[THUMBNAILS] = squares_as_thumbnails
    return methods


def _network_of(encoder: Encoder) -> Backbone | None:
    """The trained network of an encoder, which an index does not hold: from the encoder that the
    index was made with.
    """
    for folder in (STARTER, *(path_of("encoders", name) for name in names("encoders"))):
        try:
            if (folder / TRAINED).is_file():
                source = Encoder.open(folder).fingerprint
                if encoder.card.comes_from(source):
                    return start_from(str(folder)).backbone
        except MocosearchError:
            continue
    return None


@torch.no_grad()
def last_stage(backbone: Backbone, pixels: Pixels) -> Array:
    """The average of the last stage, or a ViT's class token, of unit length: uint8
    (n, side, side, 3) to float32 (n, width).
    """
    backbone.eval()
    batch = encoding_cost(backbone.architecture, pixels.shape[1]).batch
    parts = []
    for start in range(0, len(pixels), batch):
        part = torch.from_numpy(np.array(pixels[start : start + batch]))
        parts.append(F.normalize(backbone(part.permute(0, 3, 1, 2).float() / 255)).numpy())
    return np.concatenate(parts)
