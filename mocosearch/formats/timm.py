"""A folder for timm: `timm.create_model("local-dir:FOLDER")` is the network before pooling."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mocosearch.encoder import Encoder
from mocosearch.errors import StorageFailed, Unsuitable
from mocosearch.formats.network import load_backbone
from mocosearch.moco.backbones import MEAN, STD
from mocosearch.moco.vit import HEADS, PATCH, positions

NAMES = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "vit_small": "vit_small_patch16_224",
    "vit_base": "vit_base_patch16_224",
}
"""timm's names of the architectures that it has."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def write_timm(folder: Path, target: Path) -> None:
    """Write the network of an encoder's folder, without pooling grid and whitening, into a folder.

    Raises NotFound, Damaged, Unsuitable for a network that timm does not have, StorageFailed.
    """
    from safetensors.torch import save_file

    encoder = Encoder.open(folder)
    architecture = encoder.card.architecture
    if architecture not in NAMES:
        raise Unsuitable(
            f"timm has no network {architecture} with these weights",
            f"export one of: {', '.join(NAMES)}",
        )
    backbone = load_backbone(folder)
    weights = {
        name.removeprefix("net."): value.contiguous()
        for name, value in backbone.state_dict().items()
    }
    is_vit = architecture.startswith("vit")
    if is_vit:
        weights["pos_embed"] = _position_embeddings(encoder.side, backbone.width)
    try:
        target.mkdir(parents=True, exist_ok=True)
        save_file(weights, target / WEIGHTS)
        config = _config(encoder, backbone.width, is_vit)
        (target / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"cannot write {target}: {error.strerror or error}") from error


def _position_embeddings(side: int, width: int) -> Tensor:
    """Timm stores what is computed here, with nothing for the class token: (1, 1 + hw, width)."""
    cells = side // PATCH
    patches = positions(cells, cells, width, torch.device("cpu"))
    return torch.cat([torch.zeros(1, width), patches])[None]


def _config(encoder: Encoder, width: int, is_vit: bool) -> dict[str, Any]:
    side = encoder.side
    preprocessing = {
        "input_size": [3, side, side],
        "fixed_input_size": is_vit,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "mean": list(MEAN),
        "std": list(STD),
        "num_classes": 0,
        "license": encoder.card.licence,
    }
    settings = {"num_heads": HEADS, "img_size": side} if is_vit else {}
    return {
        "architecture": NAMES[encoder.card.architecture],
        "num_classes": 0,
        "num_features": width,
        "pretrained_cfg": preprocessing,
        "model_args": settings,
    }
