"""Muon for a convolutional network: matrices turned orthogonal, everything else by SGD."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Muon:
    """torch's Muon (Jordan et al., 2024), which takes matrices alone, over kernels and layers.

    A kernel (out, in, h, w) is the matrix (out, h w in) of the same memory, so that the
    optimiser moves the network's own weights. Biases and the gains of batch norm go by SGD at
    ten times the rate. Every matrix moves by about .2 of the rate at each entry (root mean
    square) whatever its shape and its gradient's size, which short runs gain most from
    (benchmarks/recipes.md).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float) -> None:
        """The weights must lie in channels_last memory, and stay where they are."""
        every = list(parameters)
        self.weights = [p for p in every if p.ndim > 1]
        self.matrices = [_matrix(p.detach()) for p in self.weights]
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            assert weight.data_ptr() == matrix.data_ptr()
        self._muon = torch.optim.Muon(
            self.matrices,
            lr=0.0,
            weight_decay=weight_decay,
            momentum=0.9,
            ns_steps=3,
            adjust_lr_fn="match_rms_adamw",
        )
        others = {"params": [p for p in every if p.ndim <= 1], "rates": 10.0}
        self._sgd = torch.optim.SGD([others], lr=0.0, momentum=0.9, nesterov=True, fused=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """As torch's optimisers have them; `rates` says how many times the rate a group gets."""
        return self._muon.param_groups + self._sgd.param_groups

    def step(self) -> None:
        """Move the weights along the gradients that they hold."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            assert weight.grad is not None
            matrix.grad = _matrix(weight.grad)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._sgd.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            weight.grad = matrix.grad = None
        self._sgd.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' momentum."""
        return {"muon": self._muon.state_dict(), "sgd": self._sgd.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._muon.load_state_dict(state["muon"])
        self._sgd.load_state_dict(state["sgd"])


def _matrix(weight: Tensor) -> Tensor:
    """(out, the rest), without a copy for layers and for kernels in channels_last memory."""
    return (weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight).flatten(1)
