"""Inference over many pictures: several batches at once, each on cores of its own.

One inference on all cores waits at every layer for its slowest thread, longest where other
processes read photos meanwhile.
"""

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocosearch.photos.decode import Pixels
from mocosearch.processes import check_fork

THROUGHPUT: Mapping[str, str] = {"PERFORMANCE_HINT": "THROUGHPUT"}
"""With this, OpenVINO decides how many inferences run at once: one per core where cores are few."""
MEMORY = 128 * 1024**2
"""Bytes of activations that one inference may take."""
MAX_BATCH = 64
TENSORS = 6
"""Bytes of activations per photo as a multiple of its largest tensor; measured 3.5 (ResNet-50) to
5.4 (ViT-S)."""


class Batches:
    """Runs a model over any number of pictures. Threads may share it."""

    def __init__(self, compiled: Any, model: Any) -> None:
        """model: of OpenVINO, with a dynamic batch size; compiled: the same, with THROUGHPUT."""
        self.batch = batch_size(model)
        """Pictures per inference."""
        self.at_once: int = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        """Inferences that run at the same time."""
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.at_once):
            self._requests.put(compiled.create_infer_request())
        self._threads = ThreadPoolExecutor(self.at_once, "inference")

    def run(self, pixels: Pixels) -> list[NDArray[np.float32]]:
        """The model's outputs, each (n, ...), for pictures uint8 (n, side, side, 3), n > 0.

        Raises Unsuitable in a fork of a process that used OpenVINO.
        """
        batch = min(self.batch, -(-len(pixels) // self.at_once))
        starts = range(0, len(pixels), batch)
        futures = [self.submit(pixels[start : start + batch]) for start in starts]
        return [np.concatenate(parts) for parts in zip(*(f.result() for f in futures), strict=True)]

    def submit(self, pixels: Pixels) -> "Future[list[NDArray[np.float32]]]":
        """Begin one inference, of at most `batch` pictures; its outputs, as from `run`."""
        check_fork("openvino")
        return self._threads.submit(self._infer, pixels)

    def _infer(self, pixels: Pixels) -> list[NDArray[np.float32]]:
        request = self._requests.get()
        try:
            outputs = request.infer(np.ascontiguousarray(pixels))
            return [outputs[number].copy() for number in range(len(outputs))]
        finally:
            self._requests.put(request)


def batch_size(model: Any) -> int:
    """Photos per inference, 1..MAX_BATCH, for an OpenVINO model with a dynamic batch size."""
    largest = 1
    for node in model.get_ops():
        for output in node.outputs():
            shape = output.get_partial_shape()
            if shape.rank.is_static and len(shape) > 1 and shape[0].is_dynamic:
                lengths = [
                    shape[axis].get_length()
                    for axis in range(1, len(shape))
                    if shape[axis].is_static
                ]
                largest = max(largest, 4 * math.prod(lengths))
    return max(1, min(MAX_BATCH, MEMORY // (TENSORS * largest)))
