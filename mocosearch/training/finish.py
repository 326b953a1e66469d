"""From a trained network to an encoder's folder."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from mocosearch.encoder import whitening
from mocosearch.encoder.card import Card
from mocosearch.encoder.export import export
from mocosearch.encoder.neighbours import adapt
from mocosearch.encoder.projection import learn
from mocosearch.encoder.refit import Refit
from mocosearch.encoder.whitening import Whitening
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.inference import as_encoder, features
from mocosearch.moco.views import ViewSettings, random_views
from mocosearch.photos.decode import Pixels
from mocosearch.training.plan import Plan

EXPORT_SECONDS = 3.0
"""Time to fit the whitening and to write the encoder."""
VIEW_SECONDS = 0.003
"""Time to draw a view and to learn from it, besides its features."""
CONVERSION_SECONDS = 0.04
"""Time to convert the network, per module of it."""

CROPS = ViewSettings(scale=(0.25, 1.0), jitter=0.0, grey=0.0, blur=0.0)
"""Views that the projection is learned from: crops and mirror images, in the photo's colours."""


@dataclass(frozen=True)
class Learning:
    """What the card records about the training."""

    steps: int = 0
    """Training steps of the exported network."""
    quality: dict[str, float] = field(default_factory=dict)


def make_card(plan: Plan, photos: int, learning: Learning, seconds: float) -> Card:
    """The card of a run's encoder, whose fingerprint `export` fills in.

    seconds: duration of the whole run.
    """
    recipe = plan.recipe
    return Card(
        architecture=recipe.architecture,
        side=recipe.encode_side,
        dimension=recipe.dimension,
        recipe=asdict(recipe),
        photos=photos,
        epochs=learning.steps / max(1, photos // recipe.batch),
        seconds=round(seconds, 1),
        parent=plan.parent,
        licence=plan.licence,
        teacher=plan.teacher if learning.steps else None,
        corpus=plan.corpus_after(learning.steps > 0),
        fingerprint="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        quality=learning.quality,
    )


def write_encoder(
    backbone: Backbone,
    sample: Pixels,
    card: Card,
    folder: Path,
    files: Mapping[str, str] = MappingProxyType({}),
    prior: Whitening | None = None,
    start: float | None = None,
) -> Card:
    """Fit the whitening, learn the projection where the card's recipe asks for it, and write the
    encoder; returns the card as written.

    sample: uint8 (n, side, side, 3), the photos for both.
    prior: an earlier whitening of the same features.
    files, start: see `export`.
    """
    descriptor = Descriptor(backbone).float().eval()
    # OpenVINO computes the features several times as fast as torch.
    refit = Refit(as_encoder(descriptor, card))
    features = refit.features(sample)
    white = adapt(whitening.fit(features, card.dimension, prior=prior), features)
    if card.recipe["learned_projection"]:
        white = learn(white, features, refit.features(random_views(sample, CROPS)))
    graph = refit.with_whitening(white)
    descriptor.set_whitening(torch.from_numpy(white.centre), torch.from_numpy(white.projection))
    card = replace(card, dimension=white.projection.shape[1])
    return export(descriptor, backbone, card, folder, files, sample, start, graph)


def export_seconds(backbone: Backbone, sample: Pixels, learned_projection: bool) -> float:
    """An estimate of the seconds that `write_encoder` takes: torch takes at least twice as long as
    OpenVINO for the first photos.
    """
    descriptor, photos = Descriptor(backbone).eval(), np.array(sample[:64])
    start = time.monotonic()
    features(descriptor, photos)
    seconds = (time.monotonic() - start) / 2 * len(sample) / len(photos)
    if learned_projection:
        seconds = 2 * seconds + VIEW_SECONDS * len(sample)
    return seconds + EXPORT_SECONDS + CONVERSION_SECONDS * len(list(backbone.modules()))
