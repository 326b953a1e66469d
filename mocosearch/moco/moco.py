"""Momentum Contrast (arXiv:1911.05722), with v2's head (arXiv:2003.04297).

Names follow the paper: a queue of K keys, momentum m, temperature T.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mocosearch.moco.collective import gather, gather_pictures, own, permutation


class MoCo(nn.Module):
    """A query encoder, a momentum key encoder, and a queue of past keys.

    backbone: builds one network from pictures to (n, width) features; called twice.
    mlp: v2's head, with a hidden layer of `width`; otherwise v1's single linear layer.
    splits: sub-batches of each process with separate batch statistics. The keys' sub-batches are
        shuffled over all processes, so that shared statistics do not reveal the positive
        ("shuffling BN", section 3.3; on one device, as in the authors' CIFAR demo).
    symmetric: each view serves as query and as key; the loss is the mean of both.

    With several processes each has its part of the batch, and all have the same queue.
    """

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        width: int,
        *,
        dim: int = 128,
        K: int = 65536,
        m: float = 0.999,
        T: float = 0.07,
        mlp: bool = True,
        symmetric: bool = False,
        splits: int = 8,
    ) -> None:
        super().__init__()
        self.m, self.T, self.symmetric, self.splits = m, T, symmetric, splits
        self.encoder_q = nn.Sequential(backbone(), head(width, dim, mlp))
        self.encoder_k = nn.Sequential(backbone(), head(width, dim, mlp))
        self.encoder_k.load_state_dict(self.encoder_q.state_dict())
        self.encoder_k.requires_grad_(False)

        self.queue: Tensor
        self.queue_ids: Tensor
        self.queue_ptr: Tensor
        self.register_buffer("queue", F.normalize(torch.randn(K, dim), dim=1))
        self.register_buffer("queue_ids", torch.full((K,), -1, dtype=torch.long))
        self.register_buffer("queue_ptr", torch.zeros((), dtype=torch.long))

    @property
    def chance_loss(self) -> float:
        """log(K + 1): the loss of uninformative keys."""
        return math.log(len(self.queue) + 1)

    def recent_keys(self) -> Tensor:
        """The queue's keys of photos, (n, dim), without the random ones that it starts with."""
        return self.queue[self.queue_ids >= 0]

    def momentum_update(self) -> None:
        """theta_k <- m theta_k + (1 - m) theta_q (equation 2)."""
        momentum_update(self.encoder_k, self.encoder_q, self.m)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """Replace the oldest n keys by `keys` (n, dim), wrapping around the end of the queue."""
        n, K = keys.shape[0], self.queue.shape[0]
        rows = (self.queue_ptr + torch.arange(n, device=keys.device)) % K
        if n > K:
            keys, ids, rows = keys[-K:], ids[-K:], rows[-K:]
        self.queue[rows] = keys.to(self.queue.dtype)
        self.queue_ids[rows] = ids
        self.queue_ptr.copy_((self.queue_ptr + n) % K)

    def queries(self, views: Tensor) -> Tensor:
        """(n, dim) of unit length, with gradient; views are float (n, 3, h, w) in 0..1."""
        parts = [self.encoder_q(part) for part in views.tensor_split(self.splits)]
        return F.normalize(torch.cat(parts).float(), dim=1)

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """(n, dim) of unit length, without gradient; sub-batches are shuffled."""
        everything = gather_pictures(views)
        order = permutation(len(everything)).to(views.device)
        weights = self._key_weights(views.device.type)
        parts = [
            functional_call(self.encoder_k, weights, (everything[part],))
            for part in own(order).tensor_split(self.splits)
        ]
        keys = gather(F.normalize(torch.cat(parts).float(), dim=1))
        return own(keys[order.argsort()])

    def _key_weights(self, device: str) -> dict[str, Tensor]:
        """The key encoder's weights, cast once; autocast does not cache casts without gradient."""
        weights: dict[str, Tensor] = dict(self.encoder_k.named_parameters())
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            weights = {name: w.to(dtype) if w.ndim > 1 else w for name, w in weights.items()}
        return weights

    def loss(self, q: Tensor, k: Tensor, ids: Tensor) -> Tensor:
        """InfoNCE (equation 1): cross-entropy of the positive among itself and the K keys.

        q, k: (n, dim) of unit length. Keys in the queue with the query's own id are not negatives
        and are masked.
        """
        positive = (q * k).sum(1, keepdim=True)
        negative = q @ self.queue.clone().T
        same = ids[:, None] == self.queue_ids[None, :]
        negative = negative.masked_fill(same, float("-inf"))
        logits = torch.cat([positive, negative], 1) / self.T
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))

    def forward(self, view_a: Tensor, view_b: Tensor, ids: Tensor) -> Tensor:
        """The loss of a batch; updates the key encoder and the queue.

        view_a, view_b: float (n, 3, h, w) in 0..1, two views of the same photos; ids: int64 (n,),
        equal for photos that are not negatives of each other.
        """
        self.momentum_update()
        k = self.keys(view_b)
        loss = self.loss(self.queries(view_a), k, ids)
        if self.symmetric:
            k_a = self.keys(view_a)
            loss = (loss + self.loss(self.queries(view_b), k_a, ids)) / 2
            self.enqueue(gather(k_a), gather(ids))
        self.enqueue(gather(k), gather(ids))
        return loss


@torch.no_grad()
def momentum_update(encoder_k: nn.Module, encoder_q: nn.Module, m: float) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q, in place."""
    keys: list[Tensor] = list(encoder_k.parameters())
    queries = [p.detach() for p in encoder_q.parameters()]
    torch._foreach_lerp_(keys, queries, 1 - m)


def head(width: int, dim: int, mlp: bool) -> nn.Module:
    """The projection head: v1's linear layer or v2's two-layer MLP."""
    if not mlp:
        return nn.Linear(width, dim)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, dim))
