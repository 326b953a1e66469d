"""Muon for convolutional networks: orthogonalised updates of matrices, SGD for the rest."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Muon:
    """torch's Muon (Jordan et al., 2024), which takes matrices only, for kernels and layers.

    A kernel (out, in, h, w) is viewed as the matrix (out, h w in) of the same memory, so that
    the optimizer updates the network's own weights. Biases and batch norm's weights use SGD at
    ten times the learning rate. The root mean square of a matrix's update is about .2 of the
    learning rate, whatever its shape and gradient; short runs gain most from this
    (benchmarks/recipes.md).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float) -> None:
        """The weights must be in channels_last memory and must not be reallocated."""
        parameters = list(parameters)
        self.weights = [p for p in parameters if p.ndim > 1]
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
        others = {"params": [p for p in parameters if p.ndim <= 1], "rates": 10.0}
        self._sgd = torch.optim.SGD([others], lr=0.0, momentum=0.9, nesterov=True, fused=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """As in torch's optimizers; `rates` is the group's factor on the learning rate."""
        return self._muon.param_groups + self._sgd.param_groups

    def step(self) -> None:
        """One step with the current gradients."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            assert weight.grad is not None
            matrix.grad = _matrix(weight.grad)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._sgd.step()

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            weight.grad = matrix.grad = None
        self._sgd.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """The state of both optimizers."""
        return {"muon": self._muon.state_dict(), "sgd": self._sgd.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._muon.load_state_dict(state["muon"])
        self._sgd.load_state_dict(state["sgd"])


def _matrix(weight: Tensor) -> Tensor:
    """The weight as a matrix (out, rest), without a copy if it is in channels_last memory."""
    return (weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight).flatten(1)
