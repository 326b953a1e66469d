"""LARS (arXiv:1708.03888), the optimizer for large batches, as in MoCo v3."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD with momentum; each matrix's update is scaled by the norm of the matrix.

    Biases and batch norm's weights are neither scaled nor decayed.

    trust: norm of an update at learning rate 1, as a fraction of the weight's norm.
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
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step with the current gradients; a closure is ignored."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        change = weight.grad
        assert change is not None
        if weight.ndim > 1:
            change = change + group["weight_decay"] * weight
            weight_norm, change_norm = weight.norm(), change.norm()
            scale = group["trust"] * weight_norm / change_norm
            # The ratio is undefined if either norm is 0.
            change = change * torch.where((weight_norm > 0) & (change_norm > 0), scale, 1.0)
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        state["momentum_buffer"].mul_(group["momentum"]).add_(change)
        weight.sub_(group["lr"] * state["momentum_buffer"])
