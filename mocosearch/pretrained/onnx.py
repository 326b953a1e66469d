"""A network in an ONNX file as an encoder. OpenVINO reads the file; torch is not needed.

The encoder's graph adds the preprocessing before the network, and pooling, unit length and the
whitening after it.
"""

from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from mocosearch.encoder.card import ONNX, Card, fingerprint
from mocosearch.encoder.export import rename_nodes, replacing, save_graph
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS, openvino
from mocosearch.encoder.whitening import Whitening, random_projection
from mocosearch.errors import Unsuitable
from mocosearch.pretrained.onnx_file import AXES, Choice, Network, read_network
from mocosearch.pretrained.unfitted import unfitted_card

TOLERANCE = 1e-3
"""Largest distance between the unit features of a photo alone and in a batch, in fp32."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """The network's input: red, green and blue in 0..1, minus `mean`, divided by `std`."""

    mean: Colour
    std: Colour

    def __post_init__(self) -> None:
        """Raises Unsuitable for a value that is not finite, and for std that is not positive."""
        if not (np.isfinite([self.mean, self.std]).all() and min(self.std) > 0):
            raise Unsuitable("the mean must be finite, and std positive", "for example 0.5")


IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PRESETS = {
    "imagenet": IMAGENET,
    "clip": Preprocessing(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ),
    "dinov2": IMAGENET,
}


def is_onnx(file: Path) -> bool:
    """Whether a file has the name of an ONNX file."""
    return file.suffix.lower() == ".onnx"


def adopt_onnx(
    file: Path,
    folder: Path,
    preprocessing: Preprocessing = IMAGENET,
    choice: Choice | None = None,
) -> Card:
    """Write an encoder's folder from an ONNX file; returns its card.

    The network's output becomes one vector per photo: of a map the average, which unlike GeM also
    suits values below zero; of tokens the first, the class token, or the mean of all if they are
    as many as the patches of a square, which leaves none to be a class token. A whitening needs
    photos: until an index fits one, the features are projected at random
    (`whitening.random_projection`).

    Raises what `onnx_file.read_network` raises, Unsuitable for another output, or a network that
    cannot take the side, StorageFailed, and OSError if the folder cannot be written.
    """
    network, features = _features(file, preprocessing, choice or Choice())
    white = random_projection(features.width)
    card = unfitted_card(
        *(ONNX, network.side, white.projection.shape[1]),
        f"{file.name} ({network.output}, {features.pooling})",
        f"that of {file.name}, and yours for what you add",
        f"what the authors of {file.name} say",
        output=network.output,
        pooling=features.pooling,
        layout=network.layout,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    with replacing(folder) as part:
        save_graph(_with_whitening(features.model, white), part)
        digest = fingerprint((part / GRAPH).read_bytes(), (part / WEIGHTS).read_bytes())
        card = replace(card, fingerprint=digest)
        (part / CARD).write_text(card.to_json())
    return Card.from_json(card.to_json())


@dataclass(frozen=True)
class _Features:
    """model: uint8 pixels (n, side, side, 3) to features of unit length, float32 (n, width)."""

    model: Any
    width: int
    pooling: str


def _features(
    file: Path, preprocessing: Preprocessing, choice: Choice
) -> tuple[Network, _Features]:
    """The network over batches of photos, or over the photos one by one if it was exported for a
    single one: then a batch fails, or its photos influence each other.
    """
    core = openvino().Core()
    for batch in (-1, 1):
        network = read_network(file, choice)  # Again: a new shape changes the graph.
        try:
            model = _preprocess(network, preprocessing, batch)
            vectors, pooling = _pool(model, network, file)
            complete = _unit_vectors(vectors, model, batch)
            width = _width(core, complete, network.side, file)
        except RuntimeError:
            continue  # OpenVINO finds that the shapes do not fit.
        if width is not None:
            return network, _Features(complete, width, pooling)
    raise Unsuitable(
        f"{file} cannot encode one photo of {network.side} pixels",
        "choose the --side that it was exported for, or export it for a batch of 1",
    )


def _preprocess(network: Network, preprocessing: Preprocessing, batch: int) -> Any:
    """The network as a model of uint8 pixels (batch, side, side, 3); -1: any batch."""
    ov = openvino()
    from openvino.preprocess import PrePostProcessor

    model = ov.Model([network.result], [network.image])
    shape = [batch, network.side, network.side, network.side]
    shape[AXES[network.layout][0]] = 3
    model.reshape(shape)
    steps = PrePostProcessor(model)
    image = steps.input()
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    # OpenVINO's values are 0..255.
    image.preprocess().convert_element_type(ov.Type.f32).mean(
        [255 * value for value in preprocessing.mean]
    ).scale([255 * value for value in preprocessing.std])
    image.model().set_layout(ov.Layout(network.layout.upper()))
    return steps.build()


def _pool(model: Any, network: Network, file: Path) -> tuple[Any, str]:
    """One vector per photo from the model's output, and how it was made."""
    import openvino.opset8 as ops

    output = model.output(0).get_node().input_value(0)
    shape = output.get_partial_shape()
    rank = shape.rank.get_length() if shape.rank.is_static else 0
    if rank == 2:
        return output, "features"
    if rank == 4:
        return ops.reduce_mean(output, np.array(_places(shape, network))), "average of the map"
    if rank == 3 and shape[1].is_static and isqrt(tokens := shape[1].get_length()) ** 2 == tokens:
        return ops.reduce_mean(output, np.array([1])), "mean of the tokens"
    if rank == 3:
        return ops.gather(output, np.array(0), np.array(1)), "class token"
    raise Unsuitable(
        f"the output {network.output} of {file} has the shape {shape}",
        "choose one of features (n, d), maps (n, d, h, w) or tokens (n, tokens, d): --output NAME",
    )


def _places(shape: Any, network: Network) -> tuple[int, int]:
    """The axes of row and column of a map, which are of one length: a square becomes a square."""
    _, first, second, third = (axis.get_length() if axis.is_static else -1 for axis in shape)
    if first == second != third:
        return 1, 2
    return (2, 3) if second == third != first else AXES[network.layout][1:]


def _unit_vectors(vectors: Any, model: Any, batch: int) -> Any:
    """The model of vectors of unit length; for a batch of 1, applied to the photos one by one."""
    ov = openvino()
    import openvino.opset8 as ops

    unit = ops.normalize_l2(ops.convert(vectors, np.float32), np.array([1]), 1e-12, "max")
    single = ov.Model([unit], model.get_parameters())
    if batch != 1:
        return single
    rename_nodes(single)
    shape = list(single.input().get_shape())
    photos = ops.parameter([-1, *shape[1:]], np.uint8)
    loop = ops.tensor_iterator()
    loop.set_body(single)
    loop.set_sliced_input(single.get_parameters()[0], photos.output(0), 0, 1, 1, -1, 0)
    rows = loop.get_concatenated_slices(single.get_results()[0].output(0), 0, 1, 1, -1, 0)
    return ov.Model([rows], [photos])


def _width(core: Any, model: Any, side: int, file: Path) -> int | None:
    """The length of the vectors; None if photos of a batch influence each other.

    Raises Unsuitable for values that are not finite.
    """
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    coarse = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    pictures = coarse.repeat(side // 8 + 1, 1).repeat(side // 8 + 1, 2)[:, :side, :side]
    alone = [compiled(np.ascontiguousarray(pictures[at : at + 1]))[0].copy() for at in (0, 1)]
    together = compiled(np.ascontiguousarray(pictures))[0]
    if not all(np.isfinite(rows).all() for rows in (*alone, together)):
        raise Unsuitable(f"{file} computes values that are not finite", "check --mean and --std")
    expected = np.concatenate(alone)
    if together.shape != expected.shape or len(expected) != 2:
        return None
    distances = np.linalg.norm(together - expected, axis=1)
    return int(expected.shape[1]) if distances.max() < TOLERANCE else None


def _with_whitening(model: Any, white: Whitening) -> Any:
    """The model from pixels to keys, with the whitening in the form that `Refit` replaces."""
    ov = openvino()
    import openvino.opset8 as ops

    features = model.output(0).get_node().input_value(0)
    model.remove_result(model.get_results()[0])  # Its name counts this process's nodes.
    deviations = ops.subtract(features, white.centre)
    keys = ops.matmul(deviations, white.projection, False, False)
    unit = ops.normalize_l2(keys, np.array([1]), 1e-12, "max")
    complete = ov.Model([unit], model.get_parameters())
    rename_nodes(complete)
    return complete
