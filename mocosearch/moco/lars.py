"""LARS (arXiv:1708.03888), as MoCo v3 uses it: what lets batches of thousands learn."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD with momentum, each matrix's step scaled to the matrix's own length.

    Biases and batch norm's weights are neither scaled nor decayed.

    trust: share of a weight's length that a step at rate 1 may take.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        told = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, told)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step on the gradients as they are; a closure is not called."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        change = weight.grad
        assert change is not None
        if weight.ndim > 1:
            change = change + group["weight_decay"] * weight
            long, wide = weight.norm(), change.norm()
            # Without a length on either side there is nothing to scale by.
            scaled = group["trust"] * long / wide
            change = change * torch.where((long > 0) & (wide > 0), scaled, 1.0)
        state = self.state[weight]
        if "pace" not in state:
            state["pace"] = torch.zeros_like(weight)
        state["pace"].mul_(group["momentum"]).add_(change)
        weight.sub_(group["lr"] * state["pace"])
