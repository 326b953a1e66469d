"""A published network as an encoder, without photos to fit a whitening on."""

from dataclasses import replace
from pathlib import Path

from mocosearch.encoder.card import Card
from mocosearch.encoder.export import export
from mocosearch.errors import Damaged, Unsuitable
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.vit import PATCH, WIDTHS
from mocosearch.pretrained.importers import Start, read
from mocosearch.pretrained.unfitted import unfitted_card


def adopt(
    file: Path, folder: Path, architecture: str | None = None, side: int | None = None
) -> Card:
    """Write an encoder's folder from a file of published weights; returns its card.

    architecture: the expected one, None for any.
    side: pixels of the square that photos are resized to; None for the network's usual one.

    A whitening needs photos. Until an index fits one, the features are projected at random
    (`whitening.random_projection`); the card says so.

    Raises what importers.read raises, Damaged for another architecture, Unsuitable for a side that
    the architecture cannot take, and OSError if the folder cannot be written.
    """
    start = read(file)
    actual = start.backbone.architecture
    if architecture not in (None, actual):
        raise Damaged(f"{file.name} contains a {actual}, not a {architecture}", "try --mirror URL")
    start = start if side is None else replace(start, side=side)
    _check_side(start)
    descriptor = Descriptor(start.backbone).float().eval()
    descriptor.set_random_projection()
    dimension = descriptor.projection.shape[1]
    origin = (start.origin, start.licence, start.corpus)
    card = unfitted_card(actual, start.side, dimension, *origin)
    return export(descriptor, start.backbone, card, folder)


def _check_side(start: Start) -> None:
    """Raises Unsuitable if a ViT's patches do not fill the side."""
    architecture = start.backbone.architecture
    if architecture in WIDTHS and start.side % PATCH:
        raise Unsuitable(
            f"{architecture} cannot take {start.side} pixels", f"choose a multiple of {PATCH}"
        )
