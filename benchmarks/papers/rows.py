"""The trainings behind the findings: one row is one setting."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from benchmarks.papers.methods import EndToEnd, MemoryBank, Unshuffled
from benchmarks.papers.pictures import Pixels, resnet, vit
from mocosearch.moco.convolution import use_products
from mocosearch.moco.moco import MoCo
from mocosearch.moco.v3 import MoCoV3
from mocosearch.moco.views import ViewSettings
from mocosearch.training.recipes import V1, V2, Recipe
from mocosearch.training.state import Training, build_model, build_optimizer

WIDTH, BLOCKS, STEM = 16, (1, 1, 1, 1), 2
"""A quarter of a ResNet-18's channels and half of its blocks: hundreds of pairs a second per
core."""
HIDDEN = 512
"""Width of v3's MLPs; the paper's is 4096 for features of 2048."""

Method = Literal["moco", "unshuffled", "end-to-end", "bank", "v3", "v3, no predictor"]
Network = Literal["resnet", "vit", "vit, learned patches"]

BASE = replace(
    # MoCo v2's settings with a short queue and batch, and a momentum for a thousand steps.
    V2,
    name="base",
    architecture="resnet18",
    size=32,
    cache_side=32,
    encode_side=32,
    K=4096,
    m=0.99,
    m_end=0.99,
    splits=2,
    batch=64,
    lr=0.06,
    weight_decay=5e-4,
)
PLAIN = replace(BASE, mlp=False, cosine=False, T=V1.T, views=V1.views)
"""The same with v1's head, views, schedule and temperature."""
THIRD = replace(BASE, K=0, m_end=1.0, symmetric=True, splits=1, batch=128)
VIT = replace(THIRD, optimizer="adamw", lr=1e-3, weight_decay=0.1, warmup=0.1)


@dataclass(frozen=True)
class Row:
    """A setting and how it is trained. pairs: a multiple of those of the run; 0 for none."""

    recipe: Recipe
    method: Method = "moco"
    network: Network = "resnet"
    pairs: float = 1.0


def _momentum(m: float) -> Row:
    return Row(replace(BASE, m=m, m_end=m))


def _batch(n: int) -> Recipe:
    return replace(BASE, batch=n, lr=BASE.lr * n / BASE.batch, splits=BASE.splits * n // BASE.batch)


ROWS: dict[str, Row] = {
    "untrained": Row(BASE, pairs=0),
    "base": Row(BASE),
    "m 0": _momentum(0.0),
    "m .9": _momentum(0.9),
    "m .999": _momentum(0.999),
    "m .9999": _momentum(0.9999),
    "without shuffling": Row(BASE, "unshuffled"),
    "v1": Row(PLAIN),
    "v1, MLP": Row(replace(PLAIN, mlp=True, T=BASE.T)),
    "v1, views": Row(replace(PLAIN, views=ViewSettings())),
    "v1, cosine": Row(replace(PLAIN, cosine=True)),
    "v1, MLP, views": Row(replace(BASE, cosine=False)),
    "K 64": Row(replace(BASE, K=64)),
    "K 256": Row(replace(BASE, K=256)),
    "K 16384": Row(replace(BASE, K=16384)),
    "end-to-end 64": Row(BASE, "end-to-end"),
    "end-to-end 256": Row(_batch(256), "end-to-end"),
    "bank 256": Row(replace(BASE, K=256), "bank"),
    "bank 4096": Row(BASE, "bank"),
    "symmetric": Row(replace(BASE, symmetric=True)),
    "symmetric, half the pairs": Row(replace(BASE, symmetric=True), pairs=0.5),
    "v3": Row(THIRD, "v3"),
    "v3, no predictor": Row(THIRD, "v3, no predictor"),
    "T .07": Row(replace(BASE, T=0.07)),
    "T .5": Row(replace(BASE, T=0.5)),
    "v3 ViT": Row(VIT, "v3", "vit"),
    "v3 ViT, learned patches": Row(VIT, "v3", "vit, learned patches"),
}


def start(row: Row, pixels: Pixels, seed: int) -> Training:
    """The training of a row at its first step."""
    torch.manual_seed(seed)
    if row.network == "resnet":
        backbone = resnet(WIDTH, BLOCKS, STEM)
    else:
        backbone = vit(width=96, depth=6, patch=8)
    if row.network == "vit, learned patches":
        backbone.requires_grad_(True)
    training = Training(backbone, pixels, row.recipe, seed)
    training.model = _model(row, backbone, len(pixels)).train()
    use_products(training.model)
    training.model.to(memory_format=torch.channels_last)
    training.optimizer = build_optimizer(training.model, row.recipe)
    return training


def _model(row: Row, backbone: nn.Module, pictures: int) -> nn.Module:
    recipe, width = row.recipe, backbone.width
    copy: Callable[[], nn.Module] = lambda: deepcopy(backbone)  # noqa: E731
    common = {"dim": recipe.dim, "T": recipe.T}
    split = {"mlp": recipe.mlp, "splits": recipe.splits}
    if row.method == "end-to-end":
        return EndToEnd(copy, width, N=recipe.batch, **common, **split)
    if row.method == "bank":
        return MemoryBank(copy, width, pictures=pictures, K=recipe.K, **common, **split)
    if row.method == "unshuffled":
        queue = {"K": recipe.K, "m": recipe.m, "symmetric": recipe.symmetric}
        return Unshuffled(copy, width, **queue, **common, **split)
    if row.method == "moco":
        model = build_model(backbone, recipe)
        assert isinstance(model, MoCo)
        return model
    is_vit = row.network != "resnet"
    model = MoCoV3(copy, width, N=recipe.batch, hidden=HIDDEN, m=recipe.m, vit=is_vit, **common)
    if row.method == "v3, no predictor":
        model.predictor = nn.Identity()
    return model
