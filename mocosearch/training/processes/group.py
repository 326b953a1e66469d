"""One run in several processes, as torchrun starts them.

Rank 0 leads: it alone decodes, decides, writes and reports. It sends each step to the others, which
follow (`loop.follow`). So all take the same steps, and stop, go back or switch to fp32 together.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from mocosearch.errors import ProcessLost, Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.collective import processes
from mocosearch.moco.precision import resolve_device
from mocosearch.training.processes import launch
from mocosearch.training.recipes import Recipe
from mocosearch.training.state import Training

TIMEOUT = timedelta(days=7)
"""How long a process waits for the others. Rank 0 may decode for hours, and torchrun ends the
others if one has ended."""
_LOST = ("gloo", "Gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


@dataclass(frozen=True)
class Array:
    """An array, or where it lies in a file that all processes can read."""

    values: NDArray[Any] | None
    file: str = ""
    dtype: str = ""
    offset: int = 0
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Array":
        """A memory-mapped array, as numpy opened it, is not copied."""
        if isinstance(values, np.memmap) and values.filename is not None:
            file = str(Path(values.filename).absolute())
            return cls(None, file, values.dtype.str, values.offset, values.shape)
        return cls(values)

    def open(self) -> NDArray[Any]:
        """The array."""
        if self.values is not None:
            return self.values
        return np.memmap(self.file, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class Start:
    """The first message of a training: what `Training` gets, and its state if it is resumed."""

    backbone: Backbone
    pixels: Array
    recipe: Recipe
    seed: int
    bursts: NDArray[np.int64]
    keys: Array | None = None
    triples: NDArray[np.int64] | None = None
    state: dict[str, Any] | None = None

    def training(self, device: str) -> Training:
        """The training at its first step, or as the state has it."""
        keys = None if self.keys is None else self.keys.open()
        photos = (self.backbone, self.pixels.open(), self.recipe, self.seed, self.bursts)
        training = Training(*photos, device, keys, self.triples)
        if self.state is not None:
            training.restore(self.state)
        else:
            training.fit_head()
        return training


@dataclass(frozen=True)
class Step:
    """Take a step; progress: the completed fraction of the run, 0..1."""

    progress: float


@dataclass(frozen=True)
class Restore:
    """Return to a state of `Training`, and go on in fp32."""

    state: dict[str, Any] | None


@dataclass(frozen=True)
class End:
    """The run has ended; result: of `train`."""

    result: Any = None


Message = Start | Step | Restore | End


def send(message: Message) -> None:
    """Send a message to the other processes, if there are any; rank 0 calls it."""
    if processes() > 1:
        dist.broadcast_object_list([message], 0, device=torch.device("cpu"))


def receive() -> Message:
    """The next message of rank 0; the other processes call it."""
    messages: list[Any] = [None]
    dist.broadcast_object_list(messages, 0, device=torch.device("cpu"))
    message: Message = messages[0]
    return message


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun started; with one process it does nothing.

    device: as for `resolve_device`. Each process on a machine uses its own GPU (NCCL), or the CPU
    (gloo). Raises Unsuitable for devices that the processes cannot share, and ProcessLost if one of
    them has ended already.
    """
    if not launch.several_processes():
        yield
        return
    backend = _backend(device)
    with lost_processes():
        # torchrun keeps its store when it restarts its processes. Without a prefix they would
        # connect to the addresses of those that have ended.
        store, number, count = next(rendezvous("env://", timeout=TIMEOUT))
        store = PrefixStore(f"attempt {launch.restarts()}", store)
        dist.init_process_group(
            backend, timeout=TIMEOUT, store=store, rank=number, world_size=count
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _backend(device: str) -> str:
    """The backends for tensors on the CPU and on the device, which becomes the current one."""
    if device not in ("auto", "cpu", "cuda"):
        raise Unsuitable(f"several processes cannot use {device}", "use --device cpu or cuda")
    if device != "cpu" and torch.cuda.is_available():
        gpus, number = torch.cuda.device_count(), launch.local_rank()
        if number >= gpus:
            many = os.environ.get("LOCAL_WORLD_SIZE", f"at least {number + 1}")
            raise Unsuitable(
                f"{many} processes share {gpus} GPUs", f"start {gpus}, or use --device cpu"
            )
        torch.cuda.set_device(number)
    kind = resolve_device(device).type
    if kind not in ("cpu", "cuda"):
        raise Unsuitable(f"several processes cannot use {kind}", "use --device cpu")
    return "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"


@contextmanager
def lost_processes() -> Iterator[None]:
    """Raises ProcessLost where torch reports that another process is gone."""
    try:
        yield
    # gloo raises plain RuntimeErrors.
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or any(words in str(error) for words in _LOST)
        several = processes() > 1 or launch.several_processes()
        if not (several and lost):
            raise
        raise ProcessLost(
            "another process of the run has ended", "continue with --resume"
        ) from error
