"""A run's state, and one step of it: photos, two views, a loss, both encoders moved."""

from typing import Any

import torch
from torch import Tensor

from mocosearch.moco.backbones import Backbone
from mocosearch.moco.lars import LARS
from mocosearch.moco.moco import MoCo
from mocosearch.moco.recipes import Recipe
from mocosearch.moco.schedule import learning_rate, momentum
from mocosearch.moco.v3 import MoCoV3
from mocosearch.moco.views import ViewSettings, draw, render
from mocosearch.moco.vit import WIDTHS
from mocosearch.photos.decode import Pixels


class Training:
    """Everything that changes while a network learns; `state` and `restore` hold all of it.

    pixels: uint8 (n, side, side, 3), larger than memory if it is memory-mapped.
    """

    def __init__(self, backbone: Backbone, pixels: Pixels, recipe: Recipe, seed: int) -> None:
        self.pixels, self.recipe = pixels, recipe
        self.model = model_of(backbone, recipe).to(memory_format=torch.channels_last)
        self.model.train()
        self.optimizer = optimizer_of(self.model, recipe)
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.long)
        self.steps = 0

    @property
    def backbone(self) -> Backbone:
        """The query encoder's network, which is what becomes the encoder."""
        trained = self.model.encoder_q[0]
        assert isinstance(trained, Backbone)
        return trained

    def step(self, progress: float) -> Tensor:
        """One batch, at the rate and momentum of a share of the run; returns the loss."""
        recipe = self.recipe
        if len(self.order) < recipe.batch:
            self.order = torch.randperm(len(self.pixels), generator=self.generator)
        ids, self.order = self.order[: recipe.batch], self.order[recipe.batch :]
        photos = torch.from_numpy(self.pixels[ids.numpy()])
        view_a = self._view(photos, recipe.views)
        view_b = self._view(photos, recipe.other_views or recipe.views)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, progress)
        self.model.m = momentum(recipe, progress)
        with autocast():
            loss: Tensor = self.model(view_a, view_b, ids)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.steps += 1
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Tensors and plain values alone, so that it is read back without running code."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "shuffling": torch.get_rng_state(),
            "order": self.order.clone(),
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; the next steps are the same, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["shuffling"])
        self.order = state["order"]
        self.steps = state["steps"]

    def _view(self, photos: Tensor, settings: ViewSettings) -> Tensor:
        size, n, side = self.recipe.size, photos.shape[0], photos.shape[1]
        return render(photos, draw(n, side, size, settings, self.generator), size)


def model_of(backbone: Backbone, recipe: Recipe) -> MoCo | MoCoV3:
    """The method that a recipe names, around two copies of a network."""
    if recipe.K == 0:
        return MoCoV3(
            lambda: copy_of(backbone),
            backbone.width,
            N=recipe.batch,
            dim=recipe.dim,
            m=recipe.m,
            T=recipe.T,
            vit=backbone.architecture in WIDTHS,
        )
    return MoCo(
        lambda: copy_of(backbone),
        backbone.width,
        dim=recipe.dim,
        K=recipe.K,
        m=recipe.m,
        T=recipe.T,
        mlp=recipe.mlp,
        symmetric=recipe.symmetric,
        splits=recipe.splits,
    )


def optimizer_of(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for all that learns by gradient."""
    learning, decay = [p for p in model.parameters() if p.requires_grad], recipe.weight_decay
    if recipe.optimizer == "lars":
        return LARS(learning, lr=0.0, momentum=0.9, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(learning, lr=0.0, weight_decay=decay, fused=True)
    return torch.optim.SGD(learning, lr=0.0, momentum=0.9, weight_decay=decay, fused=True)


def copy_of(backbone: Backbone) -> Backbone:
    """A network of its own with the same weights."""
    copy = Backbone(backbone.architecture)
    copy.load_state_dict(backbone.state_dict())
    return copy


def autocast() -> torch.autocast:
    """bf16 where the processor computes in it; elsewhere it would only round."""
    has_bf16 = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bf16)
