"""Batch norm over the batches of all processes, which MoCo v3 needs (arXiv:2104.02057)."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mocosearch.moco.collective import average, processes


class SynchronizedBatchNorm(_BatchNorm):
    """Batch norm with the statistics of all processes, for CPUs; each has as many rows.

    torch's SyncBatchNorm does not run on CPUs. Parameters and buffers have the names of torch's.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """(n, channels) and (n, channels, h, w) are both accepted."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, of the same shape and dtype."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
        mean = average(x.mean(axes))
        centred = x - mean.reshape(shape)
        variance = average(centred.square().mean(axes))
        self._track(mean, variance, processes() * x.numel() // x.shape[1])
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        y = centred * scale.reshape(shape)
        if self.bias is not None:
            y = y + self.bias.reshape(shape)
        return y.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, n: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * n / (n - 1), self.momentum)


def synchronize(model: nn.Module, device: torch.device) -> None:
    """Replace all batch norm inside a model by that over the batches of all processes; parameters
    and buffers remain the same objects. With one process nothing changes.
    """
    if processes() == 1:
        return
    if device.type != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(parent, name, _synchronized(child))


def _synchronized(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> SynchronizedBatchNorm:
    other = SynchronizedBatchNorm(norm.num_features, norm.eps, norm.momentum, affine=False)
    other.weight, other.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        setattr(other, name, buffer)
    return other.train(norm.training)
