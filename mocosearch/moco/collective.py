"""Operations over the processes of a run. With one process each of them is the identity.

Every process calls them in the same order, each with the same number of rows. They use the default
process group of `torch.distributed`, if there is one.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """The number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def own(rows: Tensor) -> Tensor:
    """This process's part of rows (n, ...) that all processes have; n is a multiple of them."""
    return rows.chunk(processes())[rank()]


@torch.no_grad()
def gather(rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes in the order of their ranks: (n * processes, ...), without
    gradient.
    """
    if processes() == 1:
        return rows.detach()
    rows = rows.detach().contiguous()
    everything = rows.new_empty((processes() * rows.shape[0], *rows.shape[1:]))
    dist.all_gather_into_tensor(everything, rows)
    return everything


def gather_pictures(pictures: Tensor) -> Tensor:
    """`gather` for float (n, 3, h, w) in channels_last memory, which the result is in too."""
    return gather(pictures.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@torch.no_grad()
def permutation(n: int) -> Tensor:
    """A random order of n rows, int64 (n,) on the CPU: that of rank 0."""
    order = torch.randperm(n)
    if processes() > 1:
        dist.broadcast(order, 0)
    return order


@torch.no_grad()
def copy_from_first(values: Tensor) -> None:
    """Replace the values by those of rank 0."""
    if processes() > 1:
        dist.broadcast(values, 0)


def average(values: Tensor) -> Tensor:
    """The mean of the processes' values of the same shape.

    Its gradient belongs to the mean of the processes' losses, as DistributedDataParallel's does.
    """
    if processes() == 1:
        return values
    mean: Tensor = _Average.apply(values)
    return mean


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _mean(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])


def _mean(values: Tensor) -> Tensor:
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / processes()
