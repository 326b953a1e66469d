"""Momentum Contrast (arXiv:1911.05722), with v2's head (arXiv:2003.04297).

The names are the paper's: a queue of K keys, momentum m, temperature T.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


class MoCo(nn.Module):
    """A query encoder, its slowly following key encoder, and a queue of past keys.

    backbone: builds one network from pictures to (n, width) features; called twice.
    mlp: v2's head, a hidden layer of the features' width; otherwise v1's one linear layer.
    splits: sub-batches whose batch statistics are kept apart. The keys' sub-batches are
        shuffled, so that a query cannot know its key by the statistics they share
        ("shuffling BN", section 3.3; on one device, as in the authors' CIFAR demo).
    symmetric: each view is the query once and the key once; the loss is the mean of both.
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
    def loss_of_chance(self) -> float:
        """log(K + 1): the loss of keys that tell nothing."""
        return math.log(len(self.queue) + 1)

    def recent_keys(self) -> Tensor:
        """The queue's keys that were made from photos, (n, dim)."""
        return self.queue[self.queue_ids >= 0]

    def momentum_update(self) -> None:
        """theta_k <- m theta_k + (1 - m) theta_q (equation 2)."""
        follow(self.encoder_k, self.encoder_q, self.m)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """Keys (n, dim) take the places of the oldest n, across the queue's end if need be."""
        n, K = keys.shape[0], self.queue.shape[0]
        places = (int(self.queue_ptr) + torch.arange(n, device=keys.device)) % K
        if n > K:
            keys, ids, places = keys[-K:], ids[-K:], places[-K:]
        self.queue[places] = keys.to(self.queue.dtype)
        self.queue_ids[places] = ids
        self.queue_ptr.copy_((self.queue_ptr + n) % K)

    def queries(self, views: Tensor) -> Tensor:
        """(n, dim) of unit length, with gradient; views are float (n, 3, h, w) in 0..1."""
        parts = [self.encoder_q(part) for part in views.tensor_split(self.splits)]
        return F.normalize(torch.cat(parts).float(), dim=1)

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """(n, dim) of unit length, from shuffled sub-batches, without gradient."""
        order = torch.randperm(views.shape[0]).to(views.device)
        weights = self._key_weights(views.device.type)
        parts = [
            functional_call(self.encoder_k, weights, (views[part],))
            for part in order.tensor_split(self.splits)
        ]
        keys = F.normalize(torch.cat(parts).float(), dim=1)
        return keys[order.argsort()]

    def _key_weights(self, device: str) -> dict[str, Tensor]:
        """Autocast rounds weights without gradient at every call; here once for all parts."""
        weights: dict[str, Tensor] = dict(self.encoder_k.named_parameters())
        if torch.is_autocast_enabled(device):
            rounded = torch.get_autocast_dtype(device)
            weights = {name: w.to(rounded) if w.ndim > 1 else w for name, w in weights.items()}
        return weights

    def loss(self, q: Tensor, k: Tensor, ids: Tensor) -> Tensor:
        """InfoNCE (equation 1): -log of the softmax at the positive among itself and K keys.

        A key in the queue that was made from the query's own photo is no negative and is
        left out.
        """
        positive = (q * k).sum(1, keepdim=True)
        negative = q @ self.queue.clone().T
        own = ids[:, None] == self.queue_ids[None, :]
        negative = negative.masked_fill(own, float("-inf"))
        logits = torch.cat([positive, negative], 1) / self.T
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))

    def forward(self, view_a: Tensor, view_b: Tensor, ids: Tensor) -> Tensor:
        """The loss of a batch: two views of the same photos, and the photos' numbers (n,).

        Updates the key encoder and the queue.
        """
        self.momentum_update()
        k = self.keys(view_b)
        loss = self.loss(self.queries(view_a), k, ids)
        if self.symmetric:
            k_a = self.keys(view_a)
            loss = (loss + self.loss(self.queries(view_b), k_a, ids)) / 2
            self.enqueue(k_a, ids)
        self.enqueue(k, ids)
        return loss


@torch.no_grad()
def follow(encoder_k: nn.Module, encoder_q: nn.Module, m: float) -> None:
    """Each weight of the key encoder becomes m of itself and 1 - m of the query encoder's."""
    keys: list[Tensor] = list(encoder_k.parameters())
    queries = [p.detach() for p in encoder_q.parameters()]
    torch._foreach_lerp_(keys, queries, 1 - m)


def head(width: int, dim: int, mlp: bool) -> nn.Module:
    """The projection to the contrasted space: v1's linear layer or v2's two-layer MLP."""
    if not mlp:
        return nn.Linear(width, dim)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, dim))
