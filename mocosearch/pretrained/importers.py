"""Files of published weights: detect library and architecture, and load the network.

Files are recognised by the names of their weights alone. They are pickles, which can run code:
only tensors and plain values are read, and a file that contains anything else is rejected.
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mocosearch.encoder.card import ONNX
from mocosearch.encoder.export import TRAINED
from mocosearch.encoder.recover import recover
from mocosearch.encoder.refit import whitening_of
from mocosearch.encoder.runtime import CARD, Encoder
from mocosearch.encoder.whitening import Whitening
from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.home import not_found_error, path_of
from mocosearch.moco import lite
from mocosearch.moco.backbones import ARCHITECTURES, Backbone
from mocosearch.moco.vit import WIDTHS, ViT, positions
from mocosearch.pretrained.lite import CORPUS, PACKAGED, weights_file
from mocosearch.pretrained.published import PUBLISHED

PUBLISHED_SIDE = 224
"""Side of the views that all published networks were trained on, in pixels."""

SOURCES = (
    # A prefix that identifies the file, the prefix of the network that was trained by gradient,
    # and the library. The first match counts; most files contain a momentum copy as well.
    ("base_encoder.", "base_encoder.", "facebookresearch/moco-v3"),
    ("encoder_q.0.", "encoder_q.0.", "OpenMMLab"),
    ("encoder_q.", "encoder_q.", "facebookresearch/moco"),
    ("projection_head.", "backbone.", "lightly"),
    ("backbone_momentum.", "backbone.", "lightly"),
    ("key_backbone.", "backbone.", "lightly"),
    ("backbone.0.", "backbone.", "lightly"),
    ("projector.", "backbone.", "solo-learn"),
    ("momentum_backbone.", "backbone.", "solo-learn"),
    ("neck.", "backbone.", "OpenMMLab"),
    ("backbone.", "backbone.", "solo-learn or OpenMMLab"),
    ("encoder.", "encoder.", "solo-learn"),
    ("conv1.", "", "torchvision"),
    ("patch_embed.", "", "a ViT"),
    ("_conv_stem.", "", "EfficientNet-Lite"),
)
CHILDREN = {"0": "conv1", "1": "bn1", **{str(i + 3): f"layer{i}" for i in range(1, 5)}}
"""lightly stores a ResNet as a list of its children."""


@dataclass(frozen=True)
class Start:
    """A pretrained network and its origin."""

    backbone: Backbone
    side: int
    """Side in pixels of the square photos that it was trained on."""
    origin: str
    """The `parent` on the card of an encoder that starts from it."""
    licence: str
    corpus: str
    """What it was trained on."""
    whitening: Whitening | None = None
    """For an encoder of this program."""


def start_from(name: str) -> Start:
    """The network of an encoder, by name or folder, of a file of published weights, or of one of
    `lite.PACKAGED`.

    Raises NotFound if there is neither, Damaged for a file that is truncated or not weights,
    Unsuitable for a linear probe, an unsupported network, a network from an ONNX file, or a pickle
    with code.
    """
    folder = path_of("encoders", name)
    recover(folder)
    if (folder / CARD).is_file():
        return _from_encoder(folder)
    file = weights_file(name) if name in PACKAGED else Path(name).expanduser()
    if file.is_file():
        return read(file)
    if file.exists():
        raise Unsuitable(f"{file} is neither an encoder nor a file", "name a file of weights")
    raise not_found_error("encoders", folder)


def read(file: Path) -> Start:
    """A file of published weights in one of the layouts of `SOURCES`. Raises as `start_from`."""
    outer = _load(file)
    state, source = _network(outer, file)
    architecture = _architecture(state, file)
    backbone = Backbone(architecture)
    _fill(backbone, state, file, source)
    origin = f"{file.name} ({source}, {architecture})"
    licence, corpus = f"that of {file.name} ({source})", f"what the authors of {file.name} say"
    for published in PUBLISHED.values():
        if (published.file, published.architecture) == (file.name, architecture):
            licence = published.licence
            corpus = "ImageNet's 1.28 million training pictures, without their labels"
    side = PUBLISHED_SIDE
    for packaged in PACKAGED.values():
        if packaged.architecture == architecture:
            side = packaged.side
            if packaged.file == file.name:
                licence, corpus = packaged.licence, CORPUS
    licence += ", and yours for what you add"
    return Start(backbone, side, origin, licence, corpus)


def _from_encoder(folder: Path) -> Start:
    from safetensors.torch import load_file

    encoder = Encoder.open(folder)
    card = encoder.card
    if card.architecture == ONNX:
        raise Unsuitable(
            f"the encoder at {folder} comes from an ONNX file and cannot be trained",
            "learn from it instead: --teacher",
        )
    file = folder / TRAINED
    if not file.is_file():
        raise NotFound(f"the encoder at {folder} has no {TRAINED}", "train it again")
    backbone = Backbone(card.architecture)
    try:
        backbone.load_state_dict(load_file(file))
    except Exception as error:
        raise Damaged(f"the weights of {folder} cannot be read", "train it again") from error
    whitening = whitening_of(encoder)
    return Start(backbone, card.side, card.fingerprint, card.licence, card.corpus, whitening)


def _load(file: Path) -> Mapping[str, Any]:
    """The file's top-level mapping, from torch's format or safetensors."""
    file.open("rb").close()  # A file that cannot be opened is not damaged.
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error) and "nsupported" in str(error):
            raise Unsuitable(
                f"{file} contains more than weights, and reading it could run a program",
                "if you trust it, save its state_dict alone",
            ) from error
        raise _damaged(file) from error
    # torch and safetensors raise exceptions of many kinds on a damaged file.
    except Exception as error:
        raise _damaged(file) from error
    if not isinstance(content, Mapping):
        raise Unsuitable(f"{file} has no state_dict", "name a file with a state_dict")
    return content


def _damaged(file: Path) -> Damaged:
    return Damaged(f"{file} is truncated or not a file of weights", "download it again")


def _network(outer: Mapping[str, Any], file: Path) -> tuple[dict[str, Tensor], str]:
    """The network's weights under torchvision's or the ViT's names, and the library."""
    inner = outer.get("state_dict", outer.get("model", outer))
    if not isinstance(inner, Mapping):
        raise Unsuitable(f"{file} has no state_dict", "name a file with a state_dict")
    weights = {
        str(name).removeprefix("module."): value
        for name, value in inner.items()
        if isinstance(value, Tensor)
    }
    for mark, prefix, source in SOURCES:
        if any(name.startswith(mark) for name in weights):
            if prefix == "" and ("best_acc1" in outer or file.name.startswith("linear-")):
                raise _probe(file)
            state = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
            return _rename(state), source
    raise Unsuitable(
        f"{file} contains no supported network",
        "supported are files of moco, moco-v3, lightly, solo-learn, torchvision and OpenMMLab",
    )


def _probe(file: Path) -> Unsuitable:
    return Unsuitable(
        f"{file} is a linear probe, not the pretrained network",
        "use the pre-training file, whose name does not begin with linear-",
    )


def _rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Child numbers replaced by names, and heads removed, which only training needs."""
    network = {}
    for name, value in state.items():
        first, dot, rest = name.partition(".")
        if first not in ("fc", "_fc", "head"):
            network[CHILDREN.get(first, first) + dot + rest] = value
    return network


def _architecture(state: dict[str, Tensor], file: Path) -> str:
    """The architecture with these weights, by their names and shapes."""
    blocks = [_count(rf"layer{stage}\.(\d+)\.", state) for stage in range(1, 5)]
    first, patch = state.get("conv1.weight"), state.get("patch_embed.proj.weight")
    architecture: str | None
    if "_conv_stem.weight" in state:
        depths = {lite.depth(name): name for name in lite.SCALES}
        count = _count(r"_blocks\.(\d+)\.", state)
        architecture, content = depths.get(count), f"an EfficientNet of {count} blocks"
    elif patch is not None:
        architecture = {width: name for name, width in WIDTHS.items()}.get(len(patch))
        content = f"a ViT of width {len(patch)}"
    else:
        kind = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
        patches = first is not None and first.shape[2:] == (4, 4)
        layouts: dict[tuple[str, tuple[int, ...], bool], str] = {
            ("basic", (1, 1, 1, 1), True): "resnet10",
            ("basic", (2, 2, 2, 2), False): "resnet18",
            ("basic", (3, 4, 6, 3), False): "resnet34",
            ("bottleneck", (3, 4, 6, 3), False): "resnet50",
        }
        architecture = layouts.get((kind, tuple(blocks), patches))
        content = f"a network of {'-'.join(map(str, blocks))} {kind} blocks"
        content = content if any(blocks) else "neither a ResNet nor a ViT of MoCo v3"
    if architecture is None:
        names = ", ".join(ARCHITECTURES)
        raise Unsuitable(f"{file} contains {content}", f"supported are: {names}")
    return architecture


def _count(pattern: str, state: dict[str, Tensor]) -> int:
    return len({m[1] for name in state if (m := re.match(pattern, name))})


def _fill(backbone: Backbone, state: dict[str, Tensor], file: Path, source: str) -> None:
    embedding = state.pop("pos_embed", None)
    if isinstance(backbone.net, ViT):
        _check_positions(embedding, backbone.width, file)
    if not all(value.isfinite().all() for value in state.values()):
        raise Damaged(f"{file} contains weights that are not finite", "download it again")
    try:
        backbone.net.load_state_dict(state)
    except RuntimeError as error:
        raise Unsuitable(
            f"the {backbone.architecture} in {file} ({source}) has other layers",
            "variants with another stem, as for pictures of 32 pixels, are not supported",
        ) from error


def _check_positions(embedding: Tensor | None, width: int, file: Path) -> None:
    """Raises Unsuitable for learned positions, which would be dropped: MoCo v3's are fixed."""
    if embedding is None:
        return
    side = int((embedding.shape[1] - 1) ** 0.5)
    fixed = positions(side, side, width, embedding.device)
    if embedding.shape[1] != side * side + 1 or not torch.allclose(
        embedding[0, 1:].float(), fixed, atol=1e-3
    ):
        raise Unsuitable(
            f"{file} contains a ViT with learned positions", "use one of MoCo v3, with fixed ones"
        )
