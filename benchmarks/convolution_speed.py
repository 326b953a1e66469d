"""From how many weights per pixel is a convolution faster as a matrix product?

Baseline: torch's convolution (oneDNN), forwards and backwards, with one thread, for the layers of
ResNets at 32 to 224 pixels. Bar: no layer that training computes as a product takes longer.

    python -m benchmarks.convolution_speed
"""

import time
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.measure import arguments, conclude, middle, table, title
from mocosearch.moco import convolution
from mocosearch.moco.convolution import Convolution


class Layer(NamedTuple):
    """Channels of input and output, kernel, side of the input, stride, and pictures."""

    channels: int
    others: int
    kernel: int
    side: int
    stride: int
    n: int


LAYERS = (
    Layer(64, 64, 3, 32, 1, 64),
    Layer(128, 128, 3, 16, 1, 64),
    Layer(128, 256, 3, 16, 2, 64),
    Layer(256, 256, 3, 8, 1, 64),
    Layer(256, 256, 3, 14, 1, 32),
    Layer(256, 256, 3, 4, 1, 128),
    Layer(256, 512, 1, 8, 2, 64),
    Layer(256, 1024, 1, 4, 1, 64),
    Layer(256, 256, 3, 4, 1, 64),
    Layer(512, 2048, 1, 7, 1, 32),
    Layer(256, 512, 3, 8, 2, 64),
    Layer(512, 512, 3, 7, 1, 32),
    Layer(512, 512, 3, 4, 1, 64),
    Layer(512, 2048, 1, 2, 1, 64),
    Layer(512, 512, 3, 2, 1, 128),
    Layer(1024, 2048, 1, 4, 2, 64),
)
"""By weights per pixel."""


def main() -> None:
    parser = arguments(__doc__, runs=7)
    args = parser.parse_args()
    title(__doc__)
    torch.set_num_threads(1)
    rows, worst = [], float("inf")
    for layer in LAYERS:
        side = (layer.side - 1) // layer.stride + 1
        weights = layer.channels * layer.others * layer.kernel**2 / (layer.n * side**2)
        cells = []
        for dtype in (torch.bfloat16, torch.float32):
            ratio = ratio_of(layer, dtype, args.runs)
            chosen = weights >= convolution.FEWEST[dtype]
            worst = min(worst, ratio) if chosen else worst
            cells.append(f"{ratio:.2f}x{' (used)' if chosen else ''}")
        shape = f"{layer.channels} to {layer.others}, {layer.kernel}x{layer.kernel}"
        rows.append([shape, f"{layer.n} of {layer.side}x{layer.side}", f"{weights:.0f}", *cells])
    table(["layer", "input", "weights per pixel", "bf16", "fp32"], rows)
    conclude(1.0, worst, what="torch's time over ours, the lowest of those used")


def ratio_of(layer: Layer, dtype: torch.dtype, runs: int) -> float:
    """How many times as long torch's convolution takes."""
    options = {"stride": layer.stride, "padding": layer.kernel // 2, "bias": False}
    plain = nn.Conv2d(layer.channels, layer.others, layer.kernel, **options)
    plain = plain.to(dtype).to(memory_format=torch.channels_last)
    product = Product(layer.channels, layer.others, layer.kernel, **options)
    product = product.to(dtype).to(memory_format=torch.channels_last)
    shape = layer.n, layer.channels, layer.side, layer.side
    x = torch.randn(shape).to(dtype).to(memory_format=torch.channels_last).requires_grad_()
    times: dict[nn.Module, list[float]] = {plain: [], product: []}
    for run in range(runs + 1):
        for module, seconds in times.items():
            begin = time.perf_counter()
            y = module(x)
            y.backward(torch.ones_like(y))
            if run:
                seconds.append(time.perf_counter() - begin)
    return middle(times[plain]) / middle(times[product])


class Product(Convolution):
    """A product whatever the sizes."""

    def _is_small(self, x: torch.Tensor, dtype: torch.dtype) -> bool:
        return True


if __name__ == "__main__":
    main()
