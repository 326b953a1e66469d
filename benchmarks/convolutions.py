"""What a network's own convolutions reach alone, as the limit of a training step."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.measure import middle
from mocosearch.moco.precision import autocast

if TYPE_CHECKING:
    from mocosearch.training.state import Training

RUNS = 5


class Call(NamedTuple):
    """One convolution of a step: its module's settings and its input's shape."""

    channels: tuple[int, int]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int
    shape: tuple[int, ...]
    learns: bool
    """Whether the step computes the gradients of its weights."""
    inner: bool
    """Whether the step computes the gradients of its input."""


def rate_alone(training: "Training") -> float:
    """Operations per second (two per multiplication and addition) of all convolutions of a step,
    each computed alone with its batch, in the step's precision: medians of RUNS.
    """
    operations = seconds = 0.0
    for call, count in _calls(training).items():
        work, taken = _alone(call, training)
        operations += count * work
        seconds += count * taken
    return operations / seconds


def _calls(training: "Training") -> Counter[Call]:
    calls: Counter[Call] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        assert isinstance(module.padding, tuple)
        learns = output.requires_grad and module.weight.requires_grad
        calls[
            Call(
                (module.in_channels, module.out_channels),
                module.kernel_size,
                module.stride,
                module.padding,
                module.groups,
                tuple(inputs[0].shape),
                learns,
                inputs[0].requires_grad,
            )
        ] += 1

    with _hooks(training.model, note):
        training.step(0.5)
    return calls


@contextmanager
def _hooks(model: nn.Module, note: object) -> Iterator[None]:
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    handles = [module.register_forward_hook(note) for module in convolutions]  # type: ignore[arg-type]
    yield
    for handle in handles:
        handle.remove()


def _alone(call: Call, training: "Training") -> tuple[float, float]:
    """Operations and seconds of one convolution, in the directions that the step needs."""
    module = nn.Conv2d(
        *call.channels, call.kernel, call.stride, call.padding, groups=call.groups, bias=False
    ).to(memory_format=torch.channels_last)
    module.requires_grad_(call.learns)
    dtype = torch.float32 if training.fp32 else torch.bfloat16
    image = torch.randn(call.shape).to(dtype).to(memory_format=torch.channels_last)
    image.requires_grad_(call.inner)
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        with autocast("cpu", enabled=not training.fp32):
            output = module(image)
        if output.requires_grad:
            output.backward(torch.ones_like(output))
        times.append(time.perf_counter() - begin)
    directions = 1 + call.learns + (call.inner and output.requires_grad)
    weights = module.weight.numel() / call.channels[1]
    return 2.0 * weights * output.numel() * directions, middle(times)
