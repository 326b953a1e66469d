"""Everything that changes during a run, and one training step."""

from copy import deepcopy
from dataclasses import replace
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mocosearch.moco.backbones import Backbone
from mocosearch.moco.batch_norm import synchronize
from mocosearch.moco.collective import average, copy_from_first, own, processes
from mocosearch.moco.convolution import use_products
from mocosearch.moco.descriptor import Levels
from mocosearch.moco.lite import Lite
from mocosearch.moco.moco import MoCo
from mocosearch.moco.optimizers.lars import LARS
from mocosearch.moco.optimizers.muon import Muon
from mocosearch.moco.precision import autocast, loss_scaler, resolve_device
from mocosearch.moco.seed import SEED
from mocosearch.moco.v3 import MoCoV3
from mocosearch.moco.views import Views, ViewSettings, draw, render
from mocosearch.moco.vit import WIDTHS
from mocosearch.photos.decode import Pixels
from mocosearch.training.reader import Reader
from mocosearch.training.recipes import Recipe
from mocosearch.training.schedule import learning_rate, momentum

TRIPLES = 8
"""Triples of a person's answers per step."""
HEAD_PHOTOS = 2560
"""Photos that a student's first head is fitted on."""


class Training:
    """Model, optimizer, sampling order and random state of a run; see `state` and `restore`.

    With several processes each takes its part of every batch. All draw the same random numbers, so
    that together they see what one process would see, and stay equal.

    pixels: uint8 (n, side, side, 3), possibly memory-mapped.
    bursts: int64 (n,), the same number for photos of one burst, whose keys are not negatives of
        each other. If the recipe's `bursts` is `positive`, the second view is of any photo of
        the burst.
    keys: float16 (n, dim), the teacher's keys of the photos, for a recipe with a teacher.
    triples: int64 (m, 3), rows of a photo, of its positive and of its certain negative, which
        `_answer_loss` adds to each step.
    device: a name for `resolve_device`. Random numbers are drawn on the CPU, so that a run can
        be resumed on another device.
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
        triples: NDArray[np.int64] | None = None,
    ) -> None:
        self.pixels, self.recipe, self.keys, self.triples = pixels, recipe, keys, triples
        self.device = resolve_device(device)
        numbers = np.arange(len(pixels)) if bursts is None else bursts
        self.bursts = torch.from_numpy(np.unique(numbers, return_inverse=True)[1])
        self.by_burst = self.bursts.argsort()
        self.burst_sizes = self.bursts.bincount()
        self.burst_starts = self.burst_sizes.cumsum(0) - self.burst_sizes
        network = deepcopy(backbone)
        network.freeze(recipe.frozen)
        self.model = build_model(network, recipe).to(self.device)
        if isinstance(self.model, MoCoV3):
            synchronize(self.model, self.device)
        if self.device.type == "cpu":
            use_products(self.model)
        self.model.to(memory_format=torch.channels_last)
        self.model.train()
        self._parallel: nn.Module | None = None
        if processes() > 1:
            # The queues are equal, and batch norm in training does not read its buffers.
            new = "forward_sync_buffers" in signature(DistributedDataParallel).parameters
            sync: dict[str, Any] = {"forward_sync_buffers" if new else "broadcast_buffers": False}
            self._parallel = DistributedDataParallel(self.model, **sync)
        self.optimizer = build_optimizer(self.model, recipe)
        self.scaler = loss_scaler(self.device.type)
        self._reader = Reader(pixels, self.device)
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.long)
        if isinstance(self.model, SEED):
            ids = torch.randperm(len(pixels), generator=self.generator)[: recipe.K]
            self.model.enqueue(self._teacher_keys(ids), self.bursts[ids].to(self.device))
        self.steps = 0
        self.losses: list[float] = []
        """The loss of every step."""
        self.fp32 = self.device.type == "cpu" and isinstance(self.backbone.net, Lite)
        """Whether steps are computed in fp32: after a loss in bf16 that was not finite, and for
        EfficientNet-Lite on a CPU, whose convolutions by channel take 1.6 times as long in bf16.
        """

    @property
    def backbone(self) -> Backbone:
        """The query encoder's network, which is exported."""
        trunk = self.model.encoder_q[0]
        backbone = trunk.backbone if isinstance(trunk, Levels) else trunk
        assert isinstance(backbone, Backbone)
        return backbone

    def step(self, progress: float) -> Tensor:
        """Train on one batch; returns the loss of all processes, a scalar without gradient.

        progress: the completed fraction of the run, 0..1, which sets learning rate and momentum.
        """
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
            model = self._parallel or self.model
            loss: Tensor = model(*inputs, self.bursts[own(ids)].to(self.device))
            if self.triples is not None:
                loss = loss + self._answer_loss(self.triples)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.device.type != "cpu" and len(self.order) >= recipe.batch:
            self._reader.read_ahead(own(self.order[: recipe.batch]))
        self._update()
        self.steps += 1
        return average(loss.detach())

    def _update(self) -> None:
        """One step of the optimizer, unless scaled gradients have overflowed."""
        if not self.scaler.is_enabled():
            self.optimizer.step()
            return
        # Muon sets the gradients of its matrices in its step: those of the weights are unscaled.
        weights = [{"params": [p for p in self.model.parameters() if p.requires_grad]}]
        optimizer: Any = SimpleNamespace(param_groups=weights, step=self.optimizer.step)
        self.scaler.step(optimizer)
        self.scaler.update()

    @torch.no_grad()
    def fit_head(self) -> None:
        """With a teacher, the head that fits the starting network's features best."""
        if not isinstance(self.model, SEED):
            return
        generator = torch.Generator().manual_seed(0)
        ids = torch.randperm(len(self.pixels), generator=generator)[:HEAD_PHOTOS]
        views, network = self.recipe.views, self.model.encoder_q[0]
        features = []
        for start in range(0, len(ids), self.recipe.batch):
            photos = self._reader.read(ids[start : start + self.recipe.batch])
            view = self._views(photos, views)
            with autocast(self.device.type, enabled=not self.fp32):
                features.append(network(view).float())
        self.model.fit_head(torch.cat(features), self._teacher_keys(ids))
        for weights in self.model.encoder_q[1].parameters():
            copy_from_first(weights)

    def state(self) -> dict[str, Any]:
        """The state as tensors and plain values, so that loading it cannot run code."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "shuffling": torch.get_rng_state(),
            "order": self.order.clone(),
            "steps": self.steps,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "fp32": self.fp32,
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`; the following steps are identical, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(_merge_groups(state["optimizer"]))
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["shuffling"])
        self.order = state["order"]
        self.steps = state["steps"]
        self.losses = state["losses"].tolist() if "losses" in state else []
        self.fp32 = state.get("fp32", False)
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])

    def finite(self) -> bool:
        """Whether every weight of the query encoder is finite."""
        return all(bool(p.isfinite().all()) for p in self.model.encoder_q.parameters())

    def _inputs(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Two views of each of the process's photos; with a teacher one view and the teacher's key.

        ids: the whole batch's.
        """
        recipe = self.recipe
        if recipe.T_teacher:
            view = self._own_views(self._reader.read(own(ids)), recipe.views)
            return view, self._teacher_keys(own(ids))
        positive = recipe.bursts == "positive"
        partners = self._burst_partners(ids) if positive else ids
        photos = self._reader.read(own(ids))
        others = self._reader.read(own(partners)) if positive else photos
        view = self._own_views(photos, recipe.views)
        return view, self._own_views(others, recipe.other_views or recipe.views)

    def _answer_loss(self, triples: NDArray[np.int64]) -> Tensor:
        """InfoNCE (arXiv:1911.05722, equation 1) of random triples: the positive against the
        certain negative alone, all three encoded by the query encoder. Every process takes the
        same triples.
        """
        some = torch.randint(len(triples), (TRIPLES,), generator=self.generator)
        ids = torch.from_numpy(triples)[some].T.reshape(-1)
        views = self._views(self._reader.read(ids), self.recipe.views)
        a, p, n = self.model.queries(views).chunk(3)
        logits = torch.stack([(a * p).sum(1), (a * n).sum(1)], 1) / self.recipe.T
        return F.cross_entropy(logits, torch.zeros(TRIPLES, dtype=torch.long, device=a.device))

    def _teacher_keys(self, ids: Tensor) -> Tensor:
        assert self.keys is not None, "a recipe with a teacher needs the teacher's keys"
        return torch.from_numpy(self.keys[ids.numpy()]).float().to(self.device)

    def _burst_partners(self, ids: Tensor) -> Tensor:
        """For each photo a random photo of its burst, possibly itself."""
        burst = self.bursts[ids]
        random = torch.rand(len(ids), generator=self.generator)
        return self.by_burst[self.burst_starts[burst] + (random * self.burst_sizes[burst]).long()]

    def _own_views(self, photos: Tensor, settings: ViewSettings) -> Tensor:
        """A view of each of the process's photos, drawn with those of the other processes."""
        views = self._draw(len(photos) * processes(), settings)
        views = replace(views, **{name: own(value) for name, value in vars(views).items()})
        return render(photos, views.to(self.device), self.recipe.size)

    def _views(self, photos: Tensor, settings: ViewSettings) -> Tensor:
        """A view of each photo, the same in all processes."""
        views = self._draw(len(photos), settings)
        return render(photos, views.to(self.device), self.recipe.size)

    def _draw(self, n: int, settings: ViewSettings) -> Views:
        return draw(n, self.pixels.shape[1], self.recipe.size, settings, self.generator)


def build_model(backbone: Backbone, recipe: Recipe) -> MoCo | MoCoV3 | SEED:
    """The recipe's method with two copies of the network as query and key encoder, or with a
    teacher one copy as the student.
    """
    trunk = Levels(backbone, unit=recipe.T_teacher > 0) if recipe.levels else backbone
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
        splits=max(1, recipe.splits // processes()),
    )


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer | Muon:
    """The recipe's optimizer over all parameters that require a gradient."""
    parameters, decay = [p for p in model.parameters() if p.requires_grad], recipe.weight_decay
    if recipe.optimizer == "muon":
        return Muon(parameters, decay)
    if recipe.optimizer == "lars":
        return LARS(parameters, lr=0.0, momentum=0.9, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=0.0, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=decay, fused=True)


def _merge_groups(state: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state with one parameter group; older versions stored the network and its
    head as two.
    """
    if "param_groups" not in state:
        return {name: _merge_groups(part) for name, part in state.items()}
    groups = state["param_groups"]
    numbers = [number for group in groups for number in group["params"]]
    return {**state, "param_groups": [{**groups[0], "params": numbers}]}
