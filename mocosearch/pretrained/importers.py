"""Published weights: whose file it is, which network it holds, and that network filled.

Files are told apart by the names of their weights alone. They are pickles, which can run code:
only tensors and plain values are read, and a file with anything else in it is skipped.
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mocosearch.encoder.export import TRAINED
from mocosearch.encoder.refit import whitening_of
from mocosearch.encoder.runtime import CARD, Encoder
from mocosearch.encoder.whitening import Whitening
from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.home import missing, place
from mocosearch.moco.backbones import ARCHITECTURES, LITE, Backbone
from mocosearch.moco.vit import WIDTHS, ViT, positions
from mocosearch.pretrained import lite0
from mocosearch.pretrained.published import PUBLISHED

PUBLISHED_SIDE = 224
"""All the published ResNets and ViTs were trained on views of this side."""

SOURCES = (
    # A prefix that marks the file, the prefix of the network that learned by gradient, and
    # whose it is. The first that fits counts: momentum copies stand beside most of them.
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
"""lightly keeps a ResNet as a list of its children."""


@dataclass(frozen=True)
class Start:
    """A network to start from, and where it comes from."""

    backbone: Backbone
    side: int
    """Pixels of the square that it has learned to look at."""
    origin: str
    """What the card of what is made from it calls its parent."""
    licence: str
    corpus: str
    """What it was trained on."""
    whitening: Whitening | None = None
    """That of an encoder of ours."""


def start_from(name: str) -> Start:
    """An encoder's name or folder, or a file of published weights.

    Raises NotFound for what is not there, Damaged for a file that is cut or not weights,
    Unsuitable for a probe, a network that is none of ours, or a pickle with code.
    """
    folder = place("encoders", name)
    if (folder / CARD).is_file():
        return _own(folder)
    file = Path(name).expanduser()
    if file.is_file():
        return read(file)
    if file.exists():
        raise Unsuitable(f"{file} is neither an encoder nor a file", "name a file of weights")
    raise missing("encoders", folder)


def read(file: Path) -> Start:
    """A file of published weights, in any of the layouts of `SOURCES`. Errors as start_from."""
    outer = _loaded(file)
    state, source = _network(outer, file)
    architecture = _architecture(state, file)
    backbone = Backbone(architecture)
    _fill(backbone, state, file, source)
    origin = f"{file.name} ({source}, {architecture})"
    licence, corpus = f"that of {file.name} ({source})", f"what the authors of {file.name} say"
    for known in PUBLISHED.values():
        if (known.file, known.architecture) == (file.name, architecture):
            licence = known.licence
            corpus = "ImageNet's 1.28 million training pictures, without their labels"
    if file.name == lite0.FILE:
        licence, corpus = lite0.LICENCE, lite0.CORPUS
    licence += ", and yours for what you add"
    side = lite0.SIDE if architecture == LITE else PUBLISHED_SIDE
    return Start(backbone, side, origin, licence, corpus)


def _own(folder: Path) -> Start:
    from safetensors.torch import load_file

    encoder = Encoder.open(folder)
    card = encoder.card
    file = folder / TRAINED
    if not file.is_file():
        raise NotFound(f"the encoder at {folder} holds no weights", "train it again")
    backbone = Backbone(card.architecture)
    try:
        backbone.load_state_dict(load_file(file))
    except Exception as error:
        raise Damaged(f"the weights of {folder} cannot be read", "train it again") from error
    told = (card.fingerprint, card.licence, card.corpus, whitening_of(encoder))
    return Start(backbone, card.side, *told)


def _loaded(file: Path) -> Mapping[str, Any]:
    """The file's outermost table, from torch's format or safetensors'."""
    file.open("rb").close()  # What cannot be opened at all is no damage.
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        told = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error) and "nsupported" in str(error):
            raise Unsuitable(
                f"{file} holds more than weights, and reading that could run a program",
                "save its state_dict alone, where you trust it",
            ) from error
        raise _cut(file) from error
    # torch and safetensors raise errors of many kinds on a damaged file.
    except Exception as error:
        raise _cut(file) from error
    if not isinstance(told, Mapping):
        raise Unsuitable(f"{file} is no table of weights", "name a file with a state_dict")
    return told


def _cut(file: Path) -> Damaged:
    return Damaged(f"{file} is cut short or no file of weights", "download it again")


def _network(outer: Mapping[str, Any], file: Path) -> tuple[dict[str, Tensor], str]:
    """The network's own weights under torchvision's or the ViT's names, and whose they are."""
    inner = outer.get("state_dict", outer.get("model", outer))
    if not isinstance(inner, Mapping):
        raise Unsuitable(f"{file} is no table of weights", "name a file with a state_dict")
    told = {
        str(name).removeprefix("module."): value
        for name, value in inner.items()
        if isinstance(value, Tensor)
    }
    for mark, prefix, source in SOURCES:
        if any(name.startswith(mark) for name in told):
            if prefix == "" and ("best_acc1" in outer or file.name.startswith("linear-")):
                raise _probe(file)
            state = {n.removeprefix(prefix): v for n, v in told.items() if n.startswith(prefix)}
            return _renamed(state), source
    raise Unsuitable(
        f"{file} has no network that is known here",
        "it takes moco, moco-v3, lightly, solo-learn, torchvision and OpenMMLab",
    )


def _probe(file: Path) -> Unsuitable:
    return Unsuitable(
        f"{file} is a probe, a classifier on top of a network, and not the network",
        "take the file of the pre-training, whose name does not begin with linear-",
    )


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The children's numbers as names; the heads left out, which only training needs."""
    renamed = {}
    for name, value in state.items():
        first, dot, rest = name.partition(".")
        if first not in ("fc", "_fc", "head"):
            renamed[CHILDREN.get(first, first) + dot + rest] = value
    return renamed


def _architecture(state: dict[str, Tensor], file: Path) -> str:
    """Which of ours has these weights, by their names and one width."""
    blocks = [_count(rf"layer{stage}\.(\d+)\.", state) for stage in range(1, 5)]
    first, patch = state.get("conv1.weight"), state.get("patch_embed.proj.weight")
    found: str | None
    if "_conv_stem.weight" in state:
        found, told = LITE, "an EfficientNet"
    elif patch is not None:
        found = {width: name for name, width in WIDTHS.items()}.get(len(patch))
        told = f"a ViT of width {len(patch)}"
    else:
        kind = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
        patches = first is not None and first.shape[2:] == (4, 4)
        layouts: dict[tuple[str, tuple[int, ...], bool], str] = {
            ("basic", (1, 1, 1, 1), True): "resnet10",
            ("basic", (2, 2, 2, 2), False): "resnet18",
            ("basic", (3, 4, 6, 3), False): "resnet34",
            ("bottleneck", (3, 4, 6, 3), False): "resnet50",
        }
        found = layouts.get((kind, tuple(blocks), patches))
        told = f"a network of {'-'.join(map(str, blocks))} {kind} blocks"
        told = told if any(blocks) else "neither a ResNet nor a ViT as MoCo v3 names it"
    if found is None:
        raise Unsuitable(f"{file} holds {told}", f"there are: {', '.join(ARCHITECTURES)}")
    return found


def _count(pattern: str, state: dict[str, Tensor]) -> int:
    return len({m[1] for name in state if (m := re.match(pattern, name))})


def _fill(backbone: Backbone, state: dict[str, Tensor], file: Path, source: str) -> None:
    places = state.pop("pos_embed", None)
    if isinstance(backbone.net, ViT):
        _check_places(places, backbone.width, file)
    if not all(value.isfinite().all() for value in state.values()):
        raise Damaged(f"{file} holds weights that are no numbers", "download it again")
    try:
        backbone.net.load_state_dict(state)
    except RuntimeError as error:
        raise Unsuitable(
            f"the {backbone.architecture} in {file} ({source}) is built differently",
            "networks for pictures of 32 pixels and changed stems do not fit",
        ) from error


def _check_places(places: Tensor | None, width: int, file: Path) -> None:
    """MoCo v3's ViTs have fixed positions; others' learned ones would be lost unseen."""
    if places is None:
        return
    side = int((places.shape[1] - 1) ** 0.5)
    fixed = positions(side, side, width, places.device)
    if places.shape[1] != side * side + 1 or not torch.allclose(
        places[0, 1:].float(), fixed, atol=1e-3
    ):
        raise Unsuitable(
            f"{file} holds a ViT with learned positions", "MoCo v3's have fixed ones; take those"
        )
