"""The whitening of a finished encoder, fitted anew on the photos at hand, without torch."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder import whitening
from mocosearch.encoder.card import NOTHING, OWN, fingerprint
from mocosearch.encoder.export import named, save_graph
from mocosearch.encoder.runtime import GRAPH, WEIGHTS, Encoder, openvino
from mocosearch.encoder.whitening import Array, Whitening
from mocosearch.errors import Damaged
from mocosearch.photos.decode import Pixels

FEW = 100
"""Photos that a whitening needs at least where there is no earlier one to lean on."""


class Refit:
    """An encoder before its whitening: features first, then the encoder that they make.

    The last product of the graph is the projection, and what is subtracted before it the centre:
    so `export` writes it. The network stays as it is.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Raises Damaged where the graph is none of `export`."""
        self.before = encoder
        self._features: Any = None
        products = [op for op in _model(encoder).get_ordered_ops() if _is(op, "MatMul")]
        if not products or not _is(_source(products[-1], 0), "Subtract"):
            raise Damaged("the encoder's graph has no whitening", "train it again")

    def features(self, pixels: Pixels) -> NDArray[np.float16]:
        """Before the whitening: uint8 (n, side, side, 3) to float16 (n, D)."""
        ov = openvino()
        if self._features is None:
            model = _model(self.before)
            features = _source(_centring(model), 0).output(0)
            cut = ov.Model([features], model.get_parameters())
            self._features = ov.Core().compile_model(cut, "CPU")
        found: Array = self._features(np.ascontiguousarray(pixels))[0]
        return found.astype(np.float16)

    def fit(self, features: NDArray[np.float16]) -> tuple[Encoder, Array]:
        """An encoder whitened on features (n, D), and their keys, float32 (n, d) of unit length.

        The earlier whitening counts as further photos (`whitening.PRIOR`). Where there was none,
        and fewer than FEW photos, the encoder is the one before.
        """
        ov = openvino()
        model = _model(self.before)
        centring, product = _centring(model), _projecting(model)
        past = Whitening(_constant(centring), _constant(product))
        rows = features.astype(np.float32)
        if self.before.card.whitening != NOTHING:
            white = whitening.fit(rows, self.before.dimension, prior=past)
        elif len(features) >= FEW:
            white = whitening.fit(rows, self.before.dimension)
        else:
            return self.before, past.keys(rows)
        for node, values in ((centring, white.centre), (product, white.projection)):
            node.input(1).replace_source_output(ov.op.Constant(values).output(0))
        named(model)
        with TemporaryDirectory() as folder:
            save_graph(model, Path(folder))
            graph, weights = ((Path(folder) / name).read_bytes() for name in (GRAPH, WEIGHTS))
        card = replace(
            self.before.card,
            whitening=OWN,
            whitened=len(features),
            fitted_from=self.before.fingerprint,
            fingerprint=fingerprint(graph, weights),
        )
        return Encoder(card, graph, weights), white.keys(rows)


def _model(encoder: Encoder) -> Any:
    ov = openvino()
    blob = np.frombuffer(encoder.weights, np.uint8)
    try:
        return ov.Core().read_model(model=encoder.graph, weights=ov.Tensor(blob, blob.shape))
    except RuntimeError as error:
        raise Damaged("OpenVINO cannot load the encoder's graph", "train it again") from error


def _is(node: Any, kind: str) -> bool:
    return bool(node.get_type_name() == kind)


def _source(node: Any, number: int) -> Any:
    return node.input(number).get_source_output().get_node()


def _projecting(model: Any) -> Any:
    return [op for op in model.get_ordered_ops() if _is(op, "MatMul")][-1]


def _centring(model: Any) -> Any:
    return _source(_projecting(model), 0)


def _constant(node: Any) -> Array:
    """The second operand; in the file it is of fp16, with a conversion behind it."""
    stored = _source(node, 1)
    if _is(stored, "Convert"):
        stored = _source(stored, 0)
    return np.asarray(stored.data, np.float32)
