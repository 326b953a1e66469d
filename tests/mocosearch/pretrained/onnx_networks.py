"""Small networks in ONNX files, and their features as ONNX Runtime computes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mocosearch.photos.decode import Pixels

SIDE, PATCH, WIDTH = 32, 8, 12
"""Of the pictures, of the patches that the networks cut them into, and of their maps."""
Array = np.ndarray
Axes = Sequence[int | str | None]


class Graph:
    """Nodes one after another; each takes the one before unless told otherwise."""

    def __init__(self, shape: Axes = ("n", 3, SIDE, SIDE), kind: int = TensorProto.FLOAT) -> None:
        self.inputs = [helper.make_tensor_value_info("pixels", kind, list(shape))]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.last = "pixels"

    def constant(self, values: Array) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, op: str, *values: str | Array, name: str = "", **attributes: object) -> "Graph":
        """A node that takes the last node's output and further values."""
        inputs = [v if isinstance(v, str) else self.constant(v) for v in values]
        name = name or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *inputs], [name], **attributes))
        self.last = name
        return self

    def patches(self, channels: int = 3) -> "Graph":
        """A map of random projections of the patches, on both sides of zero."""
        shape = (WIDTH, channels, PATCH, PATCH)
        weights = 0.1 * np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        return self.add("Conv", weights, strides=[PATCH, PATCH])

    def tokens(self, batch: int = 0) -> "Graph":
        """The map as tokens; batch: 0 for the input's, or a fixed one."""
        self.add("Reshape", np.array([batch, WIDTH, -1], np.int64))
        return self.add("Transpose", perm=[0, 2, 1])

    def class_token(self) -> "Graph":
        """One more token in front: the largest values of the others."""
        tokens = self.last
        self.add("ReduceMax", axes=[1], keepdims=1, name="first")
        self.last = "first"
        return self.add("Concat", tokens, axis=1)

    def save(self, file: Path, *outputs: str, opset: int = 17, **options: object) -> Path:
        """Write the file. outputs: names, by default the last node's."""
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in outputs or [self.last]
        ]
        graph = helper.make_graph(self.nodes, "network", self.inputs, results, self.constants)
        domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=9)
        onnx.save(model, file, **options)
        return file


def run_onnx(file: Path, images: Array, output: str | None = None) -> Array:
    """The output of a file for images of its own form, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (name,) = (each.name for each in session.get_inputs())
    (result,) = session.run([output or session.get_outputs()[0].name], {name: images})
    return np.asarray(result)


def preprocess(pixels: Pixels, mean: Sequence[float], std: Sequence[float]) -> Array:
    """Pixels (n, side, side, 3) as a network takes them: float32 (n, 3, side, side)."""
    values = (pixels / 255 - np.array(mean)) / np.array(std)
    return values.transpose(0, 3, 1, 2).astype(np.float32)
