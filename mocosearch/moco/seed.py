"""SEED (arXiv:2101.04731): MoCo's queue holds the keys of a frozen teacher, and a student learns
the teacher's similarities to them.

The names are the paper's: a queue D of K keys, temperatures T of the student and of the teacher.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.moco.collective import gather

RIDGE = 0.3
"""Ridge penalty of the first head, as a share of the mean variance of the student's features."""


class SEED(nn.Module):
    """A student, which is a network with a linear head, and a queue of the teacher's keys.

    backbone: builds the student's network, from pictures to (n, width) features.
    dim: length of the teacher's keys.
    cosine: weight of 2 (1 - cosine) to the teacher's own key, beside the paper's loss. The paper
        has none; with it short runs learn more (benchmarks/recipes.md).
    """

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        width: int,
        *,
        dim: int,
        K: int = 65536,
        T: float = 0.2,
        T_teacher: float = 0.01,
        cosine: float = 1.0,
    ) -> None:
        super().__init__()
        self.T, self.T_teacher, self.cosine = T, T_teacher, cosine
        self.encoder_q = nn.Sequential(backbone(), nn.Linear(width, dim))
        self.queue: Tensor
        self.queue_ids: Tensor
        self.queue_ptr: Tensor
        self.latest: Tensor
        self.register_buffer("queue", F.normalize(torch.randn(K, dim), dim=1))
        self.register_buffer("queue_ids", torch.full((K,), -1, dtype=torch.long))
        self.register_buffer("queue_ptr", torch.zeros((), dtype=torch.long))
        self.register_buffer("latest", torch.zeros(0, dim), persistent=False)

    @property
    def chance_loss(self) -> float:
        """The loss of a student that finds all keys equally similar, at right angles to its own."""
        return math.log(len(self.queue) + 1) + 2 * self.cosine

    def recent_keys(self) -> Tensor:
        """The student's own keys of the last batch, (n, dim) of unit length."""
        return self.latest

    def queries(self, views: Tensor) -> Tensor:
        """The student's keys, (n, dim) of unit length, from float (n, 3, h, w) in 0..1."""
        return F.normalize(self.encoder_q(views).float(), dim=1)

    @torch.no_grad()
    def fit_head(self, features: Tensor, keys: Tensor) -> None:
        """Set the head to the ridge regression from features (n, width) of the student's network
        to the teacher's keys (n, dim) of the same photos.

        A random head would undo a pretrained network before it teaches it anything.
        """
        x, y = features.double(), keys.double()
        mean, target = x.mean(0), y.mean(0)
        x = x - mean
        covariance = x.T @ x / len(x)
        penalty = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
        covariance += penalty * torch.eye(len(covariance), dtype=x.dtype, device=x.device)
        weight = torch.linalg.solve(covariance, x.T @ (y - target) / len(x))
        linear = self.encoder_q[1]
        assert isinstance(linear, nn.Linear)
        linear.weight.copy_(weight.T)
        linear.bias.copy_(target - mean @ weight)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """The teacher's keys (n, dim) take the places of the oldest n."""
        n, K = keys.shape[0], self.queue.shape[0]
        places = (self.queue_ptr + torch.arange(n, device=keys.device)) % K
        if n > K:
            keys, ids, places = keys[-K:], ids[-K:], places[-K:]
        self.queue[places] = keys.to(self.queue.dtype)
        self.queue_ids[places] = ids
        self.queue_ptr.copy_((self.queue_ptr + n) % K)

    def loss(self, q: Tensor, k: Tensor, ids: Tensor) -> Tensor:
        """Section 3.2: the cross-entropy of the teacher's softmax over D+ and the student's.

        q, k: the student's and the teacher's keys of a batch, (n, dim) of unit length. D+ is the
        queue and, for each photo, its own key k. A key in the queue that was
        made from the query's own photo is left out, and so are places that no photo has filled.
        """
        queue = self.queue.clone()
        own = ids[:, None] == self.queue_ids[None, :]
        absent = own | (self.queue_ids < 0)[None, :]
        positive = (q * k).sum(1, keepdim=True)
        student = torch.cat([positive, (q @ queue.T).masked_fill(absent, -math.inf)], 1) / self.T
        itself = (k * k).sum(1, keepdim=True)
        teacher = torch.cat([itself, (k @ queue.T).masked_fill(absent, -math.inf)], 1)
        target = (teacher / self.T_teacher).softmax(1)
        # 0 * -inf is no number: what is left out has no share in the sum.
        log_student = student.log_softmax(1).masked_fill(target == 0, 0.0)
        similarity = -(target * log_student).sum(1).mean()
        return similarity + self.cosine * 2 * (1 - positive.mean())

    def forward(self, views: Tensor, keys: Tensor, ids: Tensor) -> Tensor:
        """The loss of a batch: one view of each photo, the teacher's keys (n, dim) of the photos,
        and the photos' numbers (n,). Updates the queue.
        """
        q = self.queries(views)
        loss = self.loss(q, keys, ids)
        self.enqueue(gather(keys), gather(ids))
        self.latest = gather(q)
        return loss
