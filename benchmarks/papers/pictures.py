"""CIFAR-10 as pixels, and networks for its 32 pixels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from benchmarks.measure import needed, say
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.vit import ViT

SIDE = 32
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""CIFAR-10's colours, as in the authors' demo."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """pixels: uint8 (n, SIDE, SIDE, 3); a label for each."""

    pixels: Pixels
    labels: list[str]

    def some(self, count: int) -> "Pictures":
        """At most so many random pictures, always the same."""
        rows = np.sort(np.random.default_rng(0).permutation(len(self.labels))[:count])
        return Pictures(self.pixels[rows], [self.labels[row] for row in rows])


def read(folder: Path, part: str, cache: Path, limit: int | None = None) -> Pictures:
    """The pictures FOLDER/PART/LABEL/*, decoded once into `cache`; limit: of each label."""
    files = sorted(needed(folder / part).glob("*/*.[jp][pn]g"))
    if limit is not None:
        labels = sorted({file.parent.name for file in files})
        groups = ([file for file in files if file.parent.name == label] for label in labels)
        files = [file for group in groups for file in group[:limit]]
    if not files:
        raise SystemExit(f"no pictures in {folder / part}: expected {part}/LABEL/PICTURE.jpg")
    names = "\n".join(map(str, files)).encode()
    stored = cache / f"{part}-{hashlib.blake2b(names, digest_size=6).hexdigest()}.npy"
    if not stored.exists():
        say(f"decode {len(files)} pictures")
        cache.mkdir(parents=True, exist_ok=True)
        part_file = stored.with_suffix(".part.npy")
        np.save(part_file, np.stack([_decode(file) for file in files]))
        part_file.rename(stored)
    return Pictures(np.load(stored, mmap_mode="c"), [file.parent.name for file in files])


def _decode(file: Path) -> Pixels:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE)))


def resnet(width: int, blocks: Sequence[int], stride: int) -> Backbone:
    """A ResNet for 32 pixels: a 3x3 stem without max-pooling, as in the authors' demo.

    width: channels of the first stage; a ResNet-18 has 64. blocks: of each stage. stride: of the
    stem; the demo's is 1.
    """
    backbone = Backbone("resnet18")
    net = ResNet(BasicBlock, list(blocks))
    net.inplanes = width
    net.conv1 = nn.Conv2d(3, width, 3, stride, 1, bias=False)
    net.bn1 = nn.BatchNorm2d(width)
    net.maxpool = net.fc = nn.Identity()
    for number, count in enumerate(blocks):
        step = 1 if number == 0 else 2
        layer = net._make_layer(BasicBlock, width * 2**number, count, stride=step)
        setattr(net, f"layer{number + 1}", layer)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module is not net.conv1:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return _as_backbone(backbone, net, net.inplanes)


def vit(width: int, depth: int, patch: int) -> Backbone:
    """MoCo v3's ViT with fewer blocks and smaller patches."""
    backbone = Backbone("vit_small")
    net = ViT(width)
    net.blocks = net.blocks[:depth]
    projection = nn.Conv2d(3, width, patch, stride=patch)
    bound = (6 / (3 * patch * patch + width)) ** 0.5
    nn.init.uniform_(projection.weight, -bound, bound)
    nn.init.zeros_(projection.bias)
    net.patch_embed["proj"] = projection.requires_grad_(False)
    return _as_backbone(backbone, net, width)


def _as_backbone(backbone: Backbone, net: ResNet | ViT, width: int) -> Backbone:
    backbone.net, backbone.width = net, width
    backbone.widths = (width // 4, width // 2, width)
    backbone.mean.copy_(torch.tensor(MEAN).reshape(3, 1, 1))
    backbone.std.copy_(torch.tensor(STD).reshape(3, 1, 1))
    return backbone
