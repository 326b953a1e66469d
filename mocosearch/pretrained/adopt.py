"""A published network as an encoder, without a photo to fit anything on."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from mocosearch.encoder.card import NOTHING, Card
from mocosearch.encoder.export import export
from mocosearch.errors import Damaged, Unsuitable
from mocosearch.moco.backbones import LITE
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.lite import STRIDE
from mocosearch.moco.vit import PATCH, WIDTHS
from mocosearch.pretrained.importers import Start, read

DIMENSION = 256
NOT_WHITENED = "not whitened yet: the first `mocosearch index` with it does that, on your photos"


def adopt(
    file: Path, folder: Path, architecture: str | None = None, side: int | None = None
) -> Card:
    """Write the encoder's folder from a file of published weights; returns its card.

    architecture: what the file is said to hold.
    side: pixels of the square that photos are squashed to, in place of the usual one.

    A whitening needs photos. Without any, the features are projected onto 256 fixed random
    directions at right angles to each other, which keeps distances within about 1/sqrt(2 * 256)
    of themselves (Johnson and Lindenstrauss, 1984); the card says so.

    Raises what importers.read raises, Unsuitable for a side that is no multiple of the network's
    stride, Damaged for another network than it should be, and OSError
    where the folder cannot be written.
    """
    start = read(file)
    found = start.backbone.architecture
    if architecture not in (None, found):
        raise Damaged(f"{file.name} holds a {found}, and not a {architecture}", "try --mirror URL")
    start = start if side is None else replace(start, side=side)
    check_side(start)
    descriptor = Descriptor(start.backbone).float().eval()
    with torch.no_grad():
        blank = torch.zeros(1, start.side, start.side, 3, dtype=torch.uint8)
        D = descriptor.features(blank).shape[1]
    noise = np.random.default_rng(0).standard_normal((D, DIMENSION)).astype(np.float32)
    descriptor.whiten_by(torch.zeros(D), torch.from_numpy(np.linalg.qr(noise)[0]))
    card = Card(
        architecture=start.backbone.architecture,
        side=start.side,
        dimension=DIMENSION,
        recipe={"name": "imported", "keys": NOT_WHITENED},
        photos=0,
        epochs=0.0,
        seconds=0.0,
        parent=start.origin,
        fingerprint="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        licence=start.licence,
        corpus=start.corpus,
        whitening=NOTHING,
    )
    return export(descriptor, start.backbone, card, folder)


def check_side(start: Start) -> None:
    """Raises Unsuitable for a side whose maps would not fit together."""
    architecture = start.backbone.architecture
    stride = PATCH if architecture in WIDTHS else STRIDE if architecture == LITE else 1
    if start.side % stride:
        raise Unsuitable(
            f"{architecture} cannot take {start.side} pixels", f"choose a multiple of {stride}"
        )
