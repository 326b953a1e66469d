"""MoCo v3 (arXiv:2104.02057): no queue; the negatives are the other keys of the batch.

Names follow the paper: momentum m, temperature T, N photos per batch.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.moco.collective import gather, rank
from mocosearch.moco.moco import momentum_update


class MoCoV3(nn.Module):
    """A query encoder with a predictor, and a momentum key encoder.

    backbone: builds one network from pictures to (n, width) features; called twice.
    N: photos per batch, for `chance_loss`.
    hidden: width of the MLPs' hidden layers.
    vit: the projection has three layers and the predictor ends in batch norm; for ResNets the
        projection has two and the predictor has no final batch norm (section 4.1 and the
        authors' code).

    Batch norm uses the whole batch, as the authors' does across devices: with several processes,
    `batch_norm.synchronize` is needed.
    """

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        width: int,
        *,
        N: int,
        dim: int = 256,
        hidden: int = 4096,
        m: float = 0.99,
        T: float = 1.0,
        vit: bool = False,
    ) -> None:
        super().__init__()
        self.m, self.T, self.N = m, T, N
        layers = 3 if vit else 2
        self.encoder_q = nn.Sequential(backbone(), mlp([width, *[hidden] * (layers - 1), dim]))
        self.encoder_k = nn.Sequential(backbone(), mlp([width, *[hidden] * (layers - 1), dim]))
        self.encoder_k.load_state_dict(self.encoder_q.state_dict())
        self.encoder_k.requires_grad_(False)
        self.predictor = mlp([dim, hidden, dim], last_norm=vit)
        self._keys = torch.empty(0, dim)

    @property
    def chance_loss(self) -> float:
        """Twice 2T log N: the loss of uninformative keys."""
        return 4 * self.T * math.log(self.N)

    def recent_keys(self) -> Tensor:
        """The keys of the last batch, (n, dim)."""
        return self._keys

    def momentum_update(self) -> None:
        """theta_k <- m theta_k + (1 - m) theta_q, without the predictor."""
        momentum_update(self.encoder_k, self.encoder_q, self.m)

    def queries(self, views: Tensor) -> Tensor:
        """(n, dim) of unit length, with gradient; views are float (n, 3, h, w) in 0..1."""
        return F.normalize(self.predictor(self.encoder_q(views)).float(), dim=1)

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """(n, dim) of unit length, without gradient and without the predictor."""
        return F.normalize(self.encoder_k(views).float(), dim=1)

    def loss(self, q: Tensor, k: Tensor, ids: Tensor) -> Tensor:
        """Algorithm 1's ctr: 2T times InfoNCE; the negatives are the keys of the batch, of all
        processes, with another id.
        """
        k, all_ids = gather(k), gather(ids)
        positives = torch.arange(len(q), device=q.device) + rank() * len(q)
        same = (ids[:, None] == all_ids[None, :]).scatter_(1, positives[:, None], False)
        with torch.autocast(q.device.type, enabled=False):
            logits = (q @ k.T / self.T).masked_fill(same, float("-inf"))
            return 2 * self.T * F.cross_entropy(logits, positives)

    def forward(self, view_a: Tensor, view_b: Tensor, ids: Tensor) -> Tensor:
        """The symmetric loss of a batch; updates the key encoder.

        view_a, view_b: float (n, 3, h, w) in 0..1, two views of the same photos; ids: int64 (n,),
        equal for photos that are not negatives of each other.
        """
        q_a, q_b = self.queries(view_a), self.queries(view_b)
        self.momentum_update()
        k_a, k_b = self.keys(view_a), self.keys(view_b)
        self._keys = gather(k_b)
        return self.loss(q_a, k_b, ids) + self.loss(q_b, k_a, ids)


def mlp(widths: list[int], *, last_norm: bool = True) -> nn.Sequential:
    """Linear layers without bias, each followed by batch norm, with ReLU between them.

    The last batch norm is not affine.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    layers.append(nn.Linear(widths[-2], widths[-1], bias=False))
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)
