"""How well a network retrieves the collection's own photos, measured without labels."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder import whitening
from mocosearch.encoder.whitening import DIMENSION, Array
from mocosearch.evaluation.metrics import recall_at_1
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.inference import features
from mocosearch.moco.views import ViewSettings, random_views
from mocosearch.photos.decode import Pixels

T = TypeVar("T", bound=np.generic)
MAX_PHOTOS = 500
HARD_VIEWS = ViewSettings(scale=(0.15, 0.7), grey=0.3)
"""Views that cannot be matched by colour alone."""


@dataclass(frozen=True)
class ViewRetrieval:
    """Retrieval of photos by hard views of them.

    recall: share of photos, 0..1, whose hard view has them as nearest key. keys: float32 (n, d)
    of unit length, the photos' keys.
    """

    recall: float
    keys: Array


def subsample(photos: NDArray[T]) -> NDArray[T]:
    """At most MAX_PHOTOS of (n, ...), evenly spaced so that every folder counts."""
    rows = np.linspace(0, len(photos) - 1, min(MAX_PHOTOS, len(photos))).astype(int)
    return np.array(photos[rows])


def view_retrieval(backbone: Backbone, photos: Pixels, seed: int = 0) -> ViewRetrieval:
    """Query photos by hard views of them, without labels. The network is not changed.

    photos: uint8 (n, side, side, 3), as from `subsample`. Views and whitening depend on the seed
    alone, so that networks can be compared. Over the networks of this project the order by
    recall is nearly that by P@10 with labels (benchmarks/recipes.md).
    """
    views = random_views(photos, HARD_VIEWS, seed)
    descriptor = Descriptor(deepcopy(backbone).cpu()).float().eval()
    photo_features = features(descriptor, photos)
    white = whitening.fit(photo_features, DIMENSION)
    keys = white.keys(photo_features)
    queries = white.keys(features(descriptor, views))
    return ViewRetrieval(recall_at_1(keys, queries, range(len(photos))), keys)
