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
        self._core = openvino().Core()
        self._model = encoder.model(self._core)
        products = [op for op in self._model.get_ordered_ops() if _is(op, "MatMul")]
        if not products or not _is(_source(products[-1], 0), "Subtract"):
            raise Damaged("the encoder's graph has no whitening", "train it again")
        self._projecting = products[-1]
        self._centring = _source(self._projecting, 0)
        self.past = Whitening(_constant(self._centring), _constant(self._projecting))
        self._features: Any = None

    def features(self, pixels: Pixels) -> NDArray[np.float16]:
        """Before the whitening: uint8 (n, side, side, 3) to float16 (n, D)."""
        if self._features is None:
            last = _source(self._centring, 0).output(0)
            cut = openvino().Model([last], self._model.get_parameters())
            self._features = self._core.compile_model(cut, "CPU")
        found: Array = self._features(np.ascontiguousarray(pixels))[0]
        return found.astype(np.float16)

    def fit(self, features: NDArray[np.float16]) -> tuple[Encoder, Array]:
        """An encoder whitened on features (n, D), and their keys, float32 (n, d) of unit length.

        The earlier whitening counts as further photos (`whitening.PRIOR`). Where there was none,
        and fewer than FEW photos, the encoder is the one before.
        """
        if self.before.card.whitening != NOTHING:
            white = whitening.fit(features, self.before.dimension, prior=self.past)
        elif len(features) >= FEW:
            white = whitening.fit(features, self.before.dimension)
        else:
            return self.before, self.past.keys(features)
        for node, values in (
            (self._centring, white.centre),
            (self._projecting, white.projection),
        ):
            node.input(1).replace_source_output(openvino().op.Constant(values).output(0))
        named(self._model)
        with TemporaryDirectory() as folder:
            save_graph(self._model, Path(folder))
            graph, weights = ((Path(folder) / name).read_bytes() for name in (GRAPH, WEIGHTS))
        card = replace(
            self.before.card,
            whitening=OWN,
            whitened=len(features),
            fitted_from=self.before.fingerprint,
            fingerprint=fingerprint(graph, weights),
        )
        return Encoder(card, graph, weights), white.keys(features)


def whitening_of(encoder: Encoder) -> Whitening | None:
    """What an encoder's graph holds; None where it was never fitted on photos. Raises Damaged."""
    return None if encoder.card.whitening == NOTHING else Refit(encoder).past


def _is(node: Any, kind: str) -> bool:
    return bool(node.get_type_name() == kind)


def _source(node: Any, number: int) -> Any:
    return node.input(number).get_source_output().get_node()


def _constant(node: Any) -> Array:
    """The second operand; in the file it is of fp16, with a conversion behind it."""
    stored = _source(node, 1)
    if _is(stored, "Convert"):
        stored = _source(stored, 0)
    return np.array(stored.data, np.float32)
