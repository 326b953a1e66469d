"""kNN accuracy of a network during its training, on labelled photos."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mocosearch.evaluation.classify import accuracy, knn_predictions
from mocosearch.evaluation.manifest import read_manifest
from mocosearch.evaluation.probe import LabelledPhotos, last_stage, read_labelled
from mocosearch.moco.backbones import Backbone

MOST = 1000
"""Photos that are used at most, so that a measurement takes seconds."""


@dataclass(frozen=True)
class KnnAccuracy:
    """The share of the photos, 0..1, whose label the weighted kNN predicts from all others, by the
    last stage of a network, as `evaluate --knn` does.
    """

    photos: LabelledPhotos

    @classmethod
    def of(cls, manifest: Path, side: int) -> "KnnAccuracy":
        """Of at most MOST random photos of a manifest, at `side` pixels. Raises Unreadable, and
        NoPhotos for fewer than two that can be read.
        """
        label_of = read_manifest(manifest)
        return cls(read_labelled(list(label_of), list(label_of.values()), side, most=MOST))

    def __call__(self, backbone: Backbone) -> float:
        """Measure a network, which is not changed; uses no random numbers."""
        features = last_stage(deepcopy(backbone).cpu().float(), self.photos.pixels)
        labels, own = self.photos.labels, np.arange(len(features))
        return accuracy(knn_predictions(features, labels, features, own), labels)
