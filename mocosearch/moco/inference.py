"""Features of many photos in bounded memory, and what encoding a photo costs."""

import mmap
import weakref
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mocosearch.encoder.card import Card, fingerprint
from mocosearch.encoder.export import convert
from mocosearch.encoder.runtime import Encoder
from mocosearch.encoder.whitening import Array
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.precision import autocast
from mocosearch.photos.decode import Pixels

MEMORY = 512 * 1024**2
"""Bytes of activations per batch; with torch itself a process then stays far below 3 GB."""
MAX_BATCH = 64


@dataclass(frozen=True)
class EncodingCost:
    """What one photo costs at inference, as computed from the shapes of all tensors."""

    flops: float
    """Floating-point operations."""
    memory: int
    """Bytes of the tensors that are alive at once in fp32, without the network's weights."""

    @property
    def batch(self) -> int:
        """Photos per batch, 1..MAX_BATCH, whose activations fit into MEMORY."""
        return max(1, min(MAX_BATCH, MEMORY // self.memory))


@cache
def encoding_cost(architecture: str, side: int) -> EncodingCost:
    """The cost of the descriptor's features of a photo of `side` pixels.

    Runs the network on fake tensors, which have a shape and no data.
    """
    with torch.no_grad(), FakeTensorMode():
        descriptor = Descriptor(Backbone(architecture)).eval()
        photo = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        with FlopCounterMode(display=False) as flops, _PeakMemory(descriptor) as memory:
            descriptor.features(photo)
    return EncodingCost(flops.get_total_flops(), memory.peak)


def as_encoder(descriptor: Descriptor, card: Card) -> Encoder:
    """The network as an encoder with a random projection, on which `Refit` computes features and
    fits a whitening: through OpenVINO, several times as fast as `features`, but the conversion
    takes seconds. descriptor: in evaluation mode, on the CPU, in float32.
    """
    descriptor.set_random_projection(card.dimension)
    parts = convert(descriptor, card.side)
    return Encoder(replace(card, fingerprint=fingerprint(*parts)), *parts)


@torch.no_grad()
def features(descriptor: Descriptor, pixels: Pixels) -> Array:
    """Features before whitening: uint8 (n, side, side, 3) to float32 (n, D)."""
    batch = encoding_cost(descriptor.backbone.architecture, pixels.shape[1]).batch
    parts = []
    for start in range(0, len(pixels), batch):
        part = torch.from_numpy(np.array(pixels[start : start + batch]))
        with autocast():
            parts.append(descriptor.features(part).float().numpy())
        _release(pixels)
    return np.concatenate(parts)


def _release(pixels: Pixels) -> None:
    """Drop the pages of a memory-mapped array, which count as resident and can be read again."""
    if isinstance(pixels, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        pixels._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


class _PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all live tensors that are created in the context.

    network: its weights and buffers, and views of them, do not count.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        weights = (*network.parameters(), *network.buffers())
        self.storages = {weight.untyped_storage()._cdata for weight in weights}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        # Views share a storage, which counts once.
        address = storage._cdata
        if address not in self.storages:
            self.storages.add(address)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._remove, address, storage.nbytes())

    def _remove(self, address: int, size: int) -> None:
        self.storages.discard(address)
        self.live -= size
