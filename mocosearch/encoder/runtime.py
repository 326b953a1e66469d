"""The frozen encoder at work, through OpenVINO and without torch."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder.card import Card, fingerprint
from mocosearch.errors import Damaged
from mocosearch.home import not_found_error, path_of
from mocosearch.photos.decode import Pixels

CARD, GRAPH, WEIGHTS = "card.json", "encoder.xml", "encoder.bin"


def openvino() -> Any:
    """The openvino module, imported without its converter.

    The converter imports openvino_telemetry, which reports its use to Intel, and takes a third of
    the import time. While sys.modules has None in its place, its import fails, which openvino
    allows for.
    """
    if "openvino" not in sys.modules:
        converter = "openvino.tools.ovc"
        sys.modules[converter] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            sys.modules.pop(converter, None)
    import openvino

    return openvino


class Encoder:
    """A picture becomes a key: pixels in, unit vectors out."""

    def __init__(self, card: Card, graph: bytes, weights: bytes) -> None:
        """From an encoder's three parts; use `open` for a folder."""
        self.card, self.graph, self.weights = card, graph, weights
        self._compiled: Future[Any] | None = None
        self._one = Lock()

    @classmethod
    def open(cls, name: str | os.PathLike[str]) -> Self:
        """An encoder's folder, or its name in the home. Raises NotFound and Damaged."""
        folder = Path(name) if isinstance(name, Path) else path_of("encoders", os.fspath(name))
        if not (folder / CARD).is_file():
            raise not_found_error("encoders", folder)
        try:
            parts = [(folder / part).read_bytes() for part in (CARD, GRAPH, WEIGHTS)]
        except FileNotFoundError as error:
            raise Damaged(f"the encoder at {folder} lacks a file", "train it again") from error
        card, graph, weights = Card.from_json(parts[0]), parts[1], parts[2]
        if fingerprint(graph, weights) != card.fingerprint:
            raise Damaged("the encoder's graph is not the one on its card", "train it again")
        return cls(card, graph, weights)

    @property
    def fingerprint(self) -> str:
        """Two encoders with one fingerprint make the same keys."""
        return self.card.fingerprint

    @property
    def side(self) -> int:
        """Pixels of the square that `encode` expects."""
        return self.card.side

    @property
    def dimension(self) -> int:
        """Length of a key."""
        return self.card.dimension

    def encode(self, pixels: Pixels) -> NDArray[np.float32]:
        """Keys of unit length: uint8 (n, side, side, 3) RGB to float32 (n, dimension).

        Threads may share an encoder; they are served one after another.
        """
        if len(pixels) == 0:
            return np.empty((0, self.dimension), np.float32)
        compiled = self.prepare().result()
        # One request is made once and used again; it takes all cores, and one caller.
        with self._one:
            keys: NDArray[np.float32] = compiled(np.ascontiguousarray(pixels))[0].copy()
        return keys

    def prepare(self) -> "Future[Any]":
        """Begin to load the graph in another thread, which `encode` otherwise does first."""
        with self._one:
            if self._compiled is None:
                self._compiled = Future()
                Thread(target=self._load, args=(self._compiled,), daemon=True).start()
            return self._compiled

    def _load(self, loaded: "Future[Any]") -> None:
        try:
            loaded.set_result(self._compile())
        except BaseException as error:
            loaded.set_exception(error)

    def _compile(self) -> Any:
        core = openvino().Core()
        model = self.model(core)
        with _loading():
            return core.compile_model(model, "CPU")

    def model(self, core: Any) -> Any:
        """The graph as OpenVINO's core reads it. Raises Damaged."""
        blob = np.frombuffer(self.weights, np.uint8)
        with _loading():
            tensor = openvino().Tensor(blob, blob.shape)
            return core.read_model(model=self.graph, weights=tensor)


@contextmanager
def _loading() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Damaged("OpenVINO cannot load the encoder's graph", "train it again") from error
