"""Features of regions of a picture, from the middle layers of an encoder's graph, without torch.

R-MAC (arXiv:1511.05879) pools the last map of a network over squares of several sizes. Here the
first two maps of the descriptor are pooled, at strides 8 and 16: the last one sees the whole
picture from every place, so it describes a part by what is around it (benchmarks in
docs/benchmarks.md).
"""

from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mocosearch.encoder.batches import Batches
from mocosearch.encoder.runtime import Encoder, in_batches, openvino
from mocosearch.errors import MocosearchError, Unsuitable
from mocosearch.photos.decode import Pixels

Boxes = NDArray[np.float64]
Features = NDArray[np.float16]

LEVELS = ((0.75, 2), (0.5, 3), (0.36, 4), (0.25, 6))
"""Side of the regions, as a share of the picture's, and how many there are in each direction."""
SCALES = (1.0, 0.7, 0.5, 0.36, 0.25)
"""Sides at which a query is placed on a square canvas, so that its details have the size that they
have within a photo."""
VERSION = "regions1"
"""Of the pooling, in the names of cached graphs; another one for each change."""
MAPS = 2
"""Maps of the graph that are pooled, the first ones."""


def layout() -> Boxes:
    """Left, top, width and height of each region of a photo, as shares of its sides: (R, 4)."""
    boxes = []
    for side, count in LEVELS:
        starts = np.linspace(0, 1 - side, count)
        boxes += [(left, top, side, side) for top in starts for left in starts]
    return np.array(boxes)


REGIONS = layout()


def _centred() -> Boxes:
    return np.array([((1 - side) / 2, (1 - side) / 2, side, side) for side in SCALES])


class Regions:
    """Computes features of the regions of photos, and of queries."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._loaded: Batches | None = None
        self._lock = Lock()

    def photos(self, pixels: Pixels) -> Features:
        """Of every region of photos: uint8 (n, side, side, 3) to fp16 (n, R, D).

        Raises Unsuitable for an encoder whose graph has no maps, Damaged.
        """
        return self._run(pixels)[:, : len(REGIONS)]

    def query(self, picture: Image.Image, mirrored: bool = True) -> Features:
        """Of a query at every scale, and mirrored as well: fp16 (n, D). Raises as `photos`."""
        pictures = [picture]
        if mirrored:
            pictures.append(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        canvases = [self._canvas(some, scale) for some in pictures for scale in SCALES]
        rows = np.arange(len(canvases))
        return self._run(np.stack(canvases))[rows, len(REGIONS) + rows % len(SCALES)]

    def prepare_quietly(self) -> None:
        """Load the graph, in a thread of its own; its errors are raised by the first picture."""
        with suppress(MocosearchError):
            _ = self._batches

    def _canvas(self, picture: Image.Image, scale: float) -> Pixels:
        """The picture in the middle of a square, whose margins repeat its edges."""
        side = self.encoder.side
        inner = max(1, round(scale * side))
        small = picture.resize((inner, inner), Image.Resampling.BILINEAR, reducing_gap=3.0)
        before = (side - inner) // 2
        pad = (before, side - inner - before)
        return np.pad(np.asarray(small), (pad, pad, (0, 0)), mode="edge")

    def _run(self, pixels: Pixels) -> Features:
        return self._batches.run(pixels)[0].astype(np.float16)

    @property
    def _batches(self) -> Batches:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Batches:
        model = self.encoder.model(openvino().Core())
        boxes = np.concatenate([REGIONS, _centred()])
        cut = openvino().Model([_pooled(_maps(model), boxes)], model.get_parameters())
        name = f"{self.encoder.fingerprint}-{VERSION}-{crc32(boxes.tobytes()):08x}"
        return in_batches(cut, name)


def joint(model: Any) -> Batches:
    """Computes a model's own output, float32 (n, d), and features of every region of photos,
    (n, R, D), in one pass through the network: a second pass takes as long as the first.

    model: an encoder's graph, whole or cut after its maps. Raises Unsuitable for one without maps.
    """
    own = model.output(0).get_node().input(0).get_source_output()
    pooled = _pooled(_maps(model), REGIONS).output(0)
    return in_batches(openvino().Model([own, pooled], model.get_parameters()))


def check(encoder: Encoder) -> None:
    """Raises Unsuitable for an encoder whose graph has no maps, Damaged."""
    _maps(encoder.model(openvino().Core()))


def _maps(model: Any) -> list[Any]:
    """The maps that the graph pools: `descriptor.gem` begins with their maximum with a constant.
    Raises Unsuitable.
    """
    maps: dict[str, Any] = {}
    for node in model.get_ordered_ops():
        shape = node.output(0).get_partial_shape() if node.outputs() else ()
        if node.get_type_name() == "Maximum" and len(shape) == 4:
            source = node.input(0).get_source_output()
            maps.setdefault(source.get_node().get_friendly_name(), source)
    if len(maps) < MAPS:
        raise Unsuitable(
            "this encoder has no keys of regions: its graph has no feature maps",
            "use the starter, or an encoder that mocosearch train made",
        )
    return list(maps.values())[:MAPS]


def _pooled(maps: Sequence[Any], boxes: Boxes) -> Any:
    """GeM, power 3 (arXiv:1711.02512), of each map over each box, scaled to unit length and joined:
    (n, boxes, D).
    """
    openvino()
    import openvino.opset13 as ops

    constant, blocks = openvino().op.Constant, []
    for found in maps:
        _, channels, height, width = found.get_partial_shape()
        size = np.array([-1, channels.get_length(), height.get_length() * width.get_length()])
        x = ops.maximum(found, np.float32(1e-6))
        cubes = ops.reshape(ops.multiply(ops.multiply(x, x), x), size, special_zero=False)
        shares = _shares(boxes, height.get_length(), width.get_length())
        means = ops.matmul(cubes, constant(np.ascontiguousarray(shares.T)), False, False)
        roots = ops.power(means, np.float32(1 / 3))
        unit = ops.normalize_l2(roots, np.array([1]), 1e-12, "add")
        blocks.append(ops.transpose(unit, np.array([0, 2, 1])))
    return ops.concat(blocks, 2)


def _shares(boxes: Boxes, height: int, width: int) -> NDArray[np.float32]:
    """Weights of the cells of a map in the mean over each box: (boxes, height * width)."""
    rows = _overlaps(boxes[:, 1], boxes[:, 3], height)
    columns = _overlaps(boxes[:, 0], boxes[:, 2], width)
    shares: Boxes = (rows[:, :, None] * columns[:, None, :]).reshape(len(boxes), -1)
    shares /= shares.sum(1, keepdims=True)
    return shares.astype(np.float32)


def _overlaps(starts: NDArray[np.float64], lengths: NDArray[np.float64], cells: int) -> Boxes:
    edges = np.arange(cells + 1) / cells
    ends = np.minimum(edges[1:], (starts + lengths)[:, None])
    overlaps: Boxes = (ends - np.maximum(edges[:-1], starts[:, None])).clip(min=0)
    return overlaps
