"""The torch network of an encoder, from its folder."""

from pathlib import Path

import torch

from mocosearch.encoder import Encoder
from mocosearch.encoder.card import ONNX
from mocosearch.encoder.export import TRAINED
from mocosearch.encoder.refit import Refit
from mocosearch.errors import Damaged, Mismatch, Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor


def load_backbone(folder: Path) -> Backbone:
    """The trained network of an encoder's folder, in evaluation mode, float32.

    Raises NotFound, Damaged, and Unsuitable for an encoder from an ONNX file.
    """
    card = Encoder.open(folder).card
    if card.architecture == ONNX:
        raise Unsuitable(
            "the encoder was made from an ONNX file and has no network of its own",
            "use that file",
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    backbone = Backbone(card.architecture)
    try:
        backbone.load_state_dict(load_file(folder / TRAINED))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise Damaged(
            f"the network in {folder / TRAINED} cannot be read", "train it again"
        ) from error
    return backbone.float().eval()


def load_descriptor(folder: Path, whitened: Encoder | None = None) -> Descriptor:
    """From uint8 pixels to keys, in evaluation mode, float32; with the whitening of another encoder
    that an index made from this one. Raises Mismatch for another one, and what `load_backbone`
    raises.
    """
    descriptor = Descriptor(load_backbone(folder))
    encoder = Encoder.open(folder)
    if whitened is not None and not whitened.card.comes_from(encoder.fingerprint):
        raise Mismatch(
            "the index was made with another encoder", "name the one that it was created with"
        )
    white = Refit(whitened or encoder).prior
    descriptor.set_whitening(torch.from_numpy(white.centre), torch.from_numpy(white.projection))
    return descriptor.eval()
