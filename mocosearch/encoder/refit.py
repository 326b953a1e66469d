"""A new whitening for an exported encoder, fitted on other photos, without torch."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder import whitening
from mocosearch.encoder.batches import Batches
from mocosearch.encoder.card import NOTHING, OWN, fingerprint
from mocosearch.encoder.export import rename_nodes, to_bytes
from mocosearch.encoder.neighbours import adapt
from mocosearch.encoder.runtime import Encoder, in_batches, openvino
from mocosearch.encoder.whitening import Array, Whitening
from mocosearch.errors import Damaged
from mocosearch.photos.decode import Pixels

FEW = 100
"""Fewest photos for a whitening without an earlier one as prior."""


class Refit:
    """Replaces the whitening in an encoder's graph; the network is unchanged.

    As written by `export`, the last matrix product of the graph is the projection, and the
    subtraction before it is the centring.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Raises Damaged for a graph that `export` did not write."""
        self.encoder = encoder
        self._model = encoder.model(openvino().Core())
        products = [op for op in self._model.get_ordered_ops() if _is(op, "MatMul")]
        if not products or not _is(_source(products[-1], 0), "Subtract"):
            raise Damaged("the encoder's graph has no whitening", "train it again")
        self._projection = products[-1]
        self._centring = _source(self._projection, 0)
        self.prior = Whitening(_constant(self._centring), _constant(self._projection))

    def features(self, pixels: Pixels) -> NDArray[np.float16]:
        """Features before whitening: uint8 (n, side, side, 3) to float16 (n, D), n > 0."""
        return self.batches.run(pixels)[0].astype(np.float16)

    @cached_property
    def batches(self) -> Batches:
        """For many pictures, to features before whitening."""
        return in_batches(self.model())

    def model(self) -> Any:
        """The graph up to the features before whitening, as an OpenVINO model."""
        last = _source(self._centring, 0).output(0)
        return openvino().Model([last], self._model.get_parameters())

    def fit(self, features: NDArray[np.float16]) -> tuple[Encoder, Array]:
        """An encoder whitened on features (n, D), and their keys, float32 (n, d) of unit length.

        The whitening is adapted to the photos by their neighbours (`neighbours.adapt`).
        The earlier whitening is the prior (`whitening.PRIOR`). Without one and with fewer than
        FEW photos, the encoder is unchanged.
        """
        if self.encoder.card.whitening != NOTHING:
            white = whitening.fit(features, self.encoder.dimension, prior=self.prior)
        elif len(features) >= FEW:
            white = whitening.fit(features, self.encoder.dimension)
        else:
            return self.encoder, self.prior.keys(features)
        white = adapt(white, features)
        graph, weights = self.with_whitening(white)
        card = replace(
            self.encoder.card,
            whitening=OWN,
            whitened=len(features),
            fitted_from=self.encoder.fingerprint,
            fingerprint=fingerprint(graph, weights),
        )
        return Encoder(card, graph, weights), white.keys(features)

    def with_whitening(self, white: Whitening) -> tuple[bytes, bytes]:
        """Graph and weights with another whitening, which the weights hold in fp16."""
        for node, values in (
            (self._centring, white.centre),
            (self._projection, white.projection),
        ):
            node.input(1).replace_source_output(openvino().op.Constant(values).output(0))
        rename_nodes(self._model)
        return to_bytes(self._model)


def whitening_of(encoder: Encoder) -> Whitening | None:
    """The whitening in an encoder's graph; None if it was not fitted on photos. Raises Damaged."""
    return None if encoder.card.whitening == NOTHING else Refit(encoder).prior


def _is(node: Any, kind: str) -> bool:
    return bool(node.get_type_name() == kind)


def _source(node: Any, number: int) -> Any:
    return node.input(number).get_source_output().get_node()


def _constant(node: Any) -> Array:
    """The second operand; files store it in fp16, followed by a conversion."""
    constant = _source(node, 1)
    if _is(constant, "Convert"):
        constant = _source(constant, 0)
    return np.array(constant.data, np.float32)
