"""What the papers compare MoCo with: end-to-end keys, a memory bank, no shuffling, no predictor.

Each is a model that `mocosearch.training.state.Training` can train in the place of `MoCo`.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.moco.moco import MoCo, head

BANK_MOMENTUM = 0.5
"""Of the entries of the memory bank: arXiv:1805.01978."""


class EndToEnd(nn.Module):
    """Queries and keys by one network, both with gradient; the negatives are the other keys of the
    batch (arXiv:1911.05722, figure 2a).

    backbone, width, dim, T, mlp, splits: as in `MoCo`.
    """

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        width: int,
        *,
        N: int,
        dim: int,
        T: float,
        mlp: bool,
        splits: int,
    ) -> None:
        super().__init__()
        self.T, self.N, self.splits = T, N, splits
        self.encoder_q = nn.Sequential(backbone(), head(width, dim, mlp))

    @property
    def chance_loss(self) -> float:
        return math.log(self.N)

    def encode(self, views: Tensor, order: Tensor) -> Tensor:
        """(n, dim) of unit length; sub-batches in this order."""
        parts = [self.encoder_q(views[part]) for part in order.tensor_split(self.splits)]
        return F.normalize(torch.cat(parts).float(), dim=1)[order.argsort()]

    def forward(self, view_a: Tensor, view_b: Tensor, ids: Tensor) -> Tensor:
        n = len(view_a)
        q, k = self.encode(view_a, torch.arange(n)), self.encode(view_b, torch.randperm(n))
        return F.cross_entropy(q @ k.T / self.T, torch.arange(n, device=q.device))


class MemoryBank(nn.Module):
    """A key for every picture, of the last step that saw it (arXiv:1911.05722, figure 2b).

    The positive is the picture's own entry, the negatives are K random entries of others. There is
    no key encoder; an entry moves towards the query with BANK_MOMENTUM.
    """

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        width: int,
        *,
        pictures: int,
        dim: int,
        K: int,
        T: float,
        mlp: bool,
        splits: int,
    ) -> None:
        super().__init__()
        self.T, self.K, self.splits = T, K, splits
        self.encoder_q = nn.Sequential(backbone(), head(width, dim, mlp))
        self.bank: Tensor
        self.register_buffer("bank", F.normalize(torch.randn(pictures, dim), dim=1))

    @property
    def chance_loss(self) -> float:
        return math.log(self.K + 1)

    def loss(self, q: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
        """InfoNCE with the positives bank[ids] and the negatives bank[rows]."""
        positive = (q * self.bank[ids]).sum(1, keepdim=True)
        negative = q @ self.bank[rows].T
        negative = negative.masked_fill(ids[:, None] == rows[None, :], float("-inf"))
        logits = torch.cat([positive, negative], 1) / self.T
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))

    @torch.no_grad()
    def update(self, q: Tensor, ids: Tensor) -> None:
        mixed = BANK_MOMENTUM * self.bank[ids] + (1 - BANK_MOMENTUM) * q
        self.bank[ids] = F.normalize(mixed, dim=1)

    def forward(self, view_a: Tensor, view_b: Tensor, ids: Tensor) -> Tensor:
        parts = [self.encoder_q(part) for part in view_a.tensor_split(self.splits)]
        q = F.normalize(torch.cat(parts).float(), dim=1)
        rows = torch.randint(len(self.bank), (self.K,)).to(q.device)
        loss = self.loss(q, ids, rows)
        self.update(q, ids)
        return loss


class Unshuffled(MoCo):
    """MoCo without shuffling BN: a query and its key share the statistics of a sub-batch."""

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        parts = [self.encoder_k(part) for part in views.tensor_split(self.splits)]
        return F.normalize(torch.cat(parts).float(), dim=1)
