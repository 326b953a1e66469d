"""A run's state, and one step of it: photos, two views, a loss, both encoders moved."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Levels
from mocosearch.moco.lars import LARS
from mocosearch.moco.moco import MoCo
from mocosearch.moco.muon import Muon
from mocosearch.moco.seed import SEED
from mocosearch.moco.v3 import MoCoV3
from mocosearch.moco.views import ViewSettings, draw, render
from mocosearch.moco.vit import WIDTHS
from mocosearch.photos.decode import Pixels
from mocosearch.training.precision import autocast, device_of
from mocosearch.training.recipes import Recipe
from mocosearch.training.schedule import learning_rate, momentum


class Training:
    """Everything that changes while a network learns; `state` and `restore` hold all of it.

    pixels: uint8 (n, side, side, 3), larger than memory if it is memory-mapped.
    bursts: int64 (n,), one number for photos of one burst. Their keys are no negatives of each
        other; with the recipe's `bursts` positive, the key's view is of any photo of the burst.
    keys: float16 (n, dim), a teacher's keys of the photos, where the recipe has a teacher.
    device: as of `device_of`. What is random is drawn by the processor, so that a run goes on
        anywhere from where it stopped.
    """

    def __init__(
        self,
        backbone: Backbone,
        pixels: Pixels,
        recipe: Recipe,
        seed: int,
        bursts: NDArray[np.int64] | None = None,
        device: str = "cpu",
        keys: NDArray[np.float16] | None = None,
    ) -> None:
        self.pixels, self.recipe, self.keys = pixels, recipe, keys
        self.device = device_of(device)
        numbers = np.arange(len(pixels)) if bursts is None else bursts
        self.bursts = torch.from_numpy(np.unique(numbers, return_inverse=True)[1])
        self.by_burst = self.bursts.argsort()
        self.burst_sizes = self.bursts.bincount()
        self.burst_starts = self.burst_sizes.cumsum(0) - self.burst_sizes
        self.model = model_of(backbone, recipe).to(self.device)
        self.model.to(memory_format=torch.channels_last)
        self.backbone.freeze(recipe.frozen)
        self.model.train()
        self.optimizer = optimizer_of(self.model, recipe)
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.long)
        if isinstance(self.model, SEED):
            ids = torch.randperm(len(pixels), generator=self.generator)[: recipe.K]
            self.model.enqueue(self._teacher_keys(ids), self.bursts[ids].to(self.device))
        self.steps = 0
        self.losses: list[float] = []
        """Of all steps, for the curve."""
        self.fp32 = False
        """Whether bf16 is given up for this run."""

    @property
    def backbone(self) -> Backbone:
        """The query encoder's network, which is what becomes the encoder."""
        trunk = self.model.encoder_q[0]
        trained = trunk.backbone if isinstance(trunk, Levels) else trunk
        assert isinstance(trained, Backbone)
        return trained

    def step(self, progress: float) -> Tensor:
        """One batch, at the rate and momentum of a share of the run; returns the loss."""
        recipe = self.recipe
        if len(self.order) < recipe.batch:
            self.order = torch.randperm(len(self.pixels), generator=self.generator)
        ids, self.order = self.order[: recipe.batch], self.order[recipe.batch :]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, progress) * group.get("rates", 1.0)
        if not isinstance(self.model, SEED):
            self.model.m = momentum(recipe, progress)
        inputs = self._inputs(ids)
        with autocast(self.device.type, enabled=not self.fp32):
            loss: Tensor = self.model(*inputs, self.bursts[ids].to(self.device))
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
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "fp32": self.fp32,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; the next steps are the same, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(_one_group(state["optimizer"]))
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["shuffling"])
        self.order = state["order"]
        self.steps = state["steps"]
        self.losses = state["losses"].tolist() if "losses" in state else []
        self.fp32 = state.get("fp32", False)

    def finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(p.isfinite().all()) for p in self.model.encoder_q.parameters())

    def _inputs(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Two views of each photo; with a teacher one view, and the teacher's key."""
        recipe = self.recipe
        if recipe.T_teacher:
            return self._view(ids, recipe.views), self._teacher_keys(ids)
        mates = self._mates(ids) if recipe.bursts == "positive" else ids
        view = self._view(ids, recipe.views)
        return view, self._view(mates, recipe.other_views or recipe.views)

    def _teacher_keys(self, ids: Tensor) -> Tensor:
        assert self.keys is not None, "the recipe has a teacher and the run has none of its keys"
        return torch.from_numpy(self.keys[ids.numpy()]).float().to(self.device)

    def _mates(self, ids: Tensor) -> Tensor:
        """For each photo one of its burst, itself included."""
        burst = self.bursts[ids]
        chances = torch.rand(len(ids), generator=self.generator)
        return self.by_burst[self.burst_starts[burst] + (chances * self.burst_sizes[burst]).long()]

    def _view(self, ids: Tensor, settings: ViewSettings) -> Tensor:
        photos = torch.from_numpy(self.pixels[ids.numpy()])
        size, n, side = self.recipe.size, photos.shape[0], photos.shape[1]
        drawn = draw(n, side, size, settings, self.generator)
        return render(photos.to(self.device), drawn.to(self.device), size)


def model_of(backbone: Backbone, recipe: Recipe) -> MoCo | MoCoV3 | SEED:
    """The method that a recipe names, around copies of a network."""
    trunk = Levels(backbone) if recipe.levels else backbone
    if recipe.T_teacher:
        return SEED(
            lambda: deepcopy(trunk),
            trunk.width,
            dim=recipe.dim,
            K=recipe.K,
            T=recipe.T,
            T_teacher=recipe.T_teacher,
        )
    if recipe.K == 0:
        return MoCoV3(
            lambda: deepcopy(trunk),
            trunk.width,
            N=recipe.batch,
            dim=recipe.dim,
            m=recipe.m,
            T=recipe.T,
            vit=backbone.architecture in WIDTHS,
        )
    return MoCo(
        lambda: deepcopy(trunk),
        trunk.width,
        dim=recipe.dim,
        K=recipe.K,
        m=recipe.m,
        T=recipe.T,
        mlp=recipe.mlp,
        symmetric=recipe.symmetric,
        splits=recipe.splits,
    )


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer | Muon:
    """The recipe's optimizer for all that learns by gradient."""
    learning, decay = [p for p in model.parameters() if p.requires_grad], recipe.weight_decay
    if recipe.optimizer == "muon":
        return Muon(learning, decay)
    if recipe.optimizer == "lars":
        return LARS(learning, lr=0.0, momentum=0.9, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(learning, lr=0.0, weight_decay=decay, fused=True)
    return torch.optim.SGD(learning, lr=0.0, momentum=0.9, weight_decay=decay, fused=True)


def _one_group(state: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state; runs of an older version kept the network and its head apart."""
    if "param_groups" not in state:
        return {name: _one_group(part) for name, part in state.items()}
    groups = state["param_groups"]
    weights = [number for group in groups for number in group["params"]]
    return {**state, "param_groups": [{**groups[0], "params": weights}]}
