"""Inference with an exported encoder, through OpenVINO and without torch."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder import compiled
from mocosearch.encoder.card import Card, fingerprint
from mocosearch.errors import Damaged
from mocosearch.home import not_found_error, path_of
from mocosearch.photos.decode import Pixels
from mocosearch.processes import check_fork

if TYPE_CHECKING:
    from mocosearch.encoder.batches import Batches

CARD, GRAPH, WEIGHTS = "card.json", "encoder.xml", "encoder.bin"
FEW = 8
"""Photos that are encoded one by one, each on all cores: 5 ms each, where to find the size of a
batch takes 150 ms."""


def openvino() -> Any:
    """The openvino module, without its converter.

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
    """Encodes pictures as keys: pixels in, unit vectors out."""

    def __init__(
        self, card: Card, graph: bytes, weights: bytes, repair: str = "train it again"
    ) -> None:
        """From an encoder's three parts; `open` reads them from a folder.

        They are compared with the card's fingerprint at first use. repair: what to do if they
        are damaged.
        """
        self.card, self.graph, self.weights, self._repair = card, graph, weights, repair
        self.threads: int | None = None
        """Threads of an inference, set before the first one; None for one per core."""
        self._compiled: Future[Any] | None = None
        self._lock = Lock()

    @classmethod
    def open(cls, name: str | os.PathLike[str]) -> Self:
        """An encoder by its folder or its name in the home. Raises NotFound and Damaged."""
        folder = Path(name) if isinstance(name, Path) else path_of("encoders", os.fspath(name))
        if not (folder / CARD).is_file():
            # A query takes the encoder from its index.
            from mocosearch.encoder.recover import recover

            recover(folder)
        if not (folder / CARD).is_file():
            raise not_found_error("encoders", folder)
        try:
            parts = [(folder / part).read_bytes() for part in (CARD, GRAPH, WEIGHTS)]
        except FileNotFoundError as error:
            raise Damaged(f"the encoder at {folder} is missing a file", "train it again") from error
        encoder = cls(Card.from_json(parts[0]), parts[1], parts[2])
        encoder.check()
        return encoder

    def check(self) -> None:
        """Raises Damaged where graph and weights do not have the card's fingerprint."""
        if not self._is_intact:
            raise Damaged("the encoder's graph or weights do not match its card", self._repair)

    @cached_property
    def _is_intact(self) -> bool:
        return fingerprint(self.graph, self.weights) == self.card.fingerprint

    @property
    def fingerprint(self) -> str:
        """Encoders with equal fingerprints compute the same keys."""
        return self.card.fingerprint

    @property
    def side(self) -> int:
        """Side in pixels of the square photos that `encode` takes."""
        return self.card.side

    @property
    def dimension(self) -> int:
        """Dimension of a key."""
        return self.card.dimension

    def encode(self, pixels: Pixels) -> NDArray[np.float32]:
        """Keys of unit length: uint8 (n, side, side, 3) RGB to float32 (n, dimension).

        Threads may share an encoder. Raises Damaged, and Unsuitable in a fork of a process that
        used an encoder.
        """
        check_fork("openvino")
        if len(pixels) == 0:
            return np.empty((0, self.dimension), np.float32)
        if len(pixels) > FEW:
            return self.batches.run(pixels)[0]
        graph = self.prepare().result()
        with self._lock:
            keys = [graph(np.ascontiguousarray(one[None]))[0].copy() for one in pixels]
        return np.concatenate(keys)

    @cached_property
    def batches(self) -> "Batches":
        """For many pictures; a query does not wait for it. Raises Damaged."""
        from mocosearch.encoder.batches import THROUGHPUT, Batches

        graph = self._load({**THROUGHPUT, **self._settings})
        return Batches(graph, self.model(openvino().Core()))

    def prepare(self) -> "Future[Any]":
        """Start loading the graph in another thread; otherwise the first `encode` does it."""
        check_fork("openvino")
        with self._lock:
            if self._compiled is None:
                self._compiled = Future()
                work = partial(self._load, self._settings)
                Thread(target=_run, args=(work, self._compiled), daemon=True).start()
            return self._compiled

    def _load(self, settings: dict[str, Any]) -> Any:
        """The compiled graph, from the cache where that has it: there it is the same for all
        settings.
        """
        # The fingerprint takes a third of the time of the compilation, on another core.
        checked: Future[None] = Future()
        Thread(target=_run, args=(self.check, checked), daemon=True).start()
        core = openvino().Core()

        def compile_graph() -> Any:
            model = self._read(core)
            with _load_errors():
                graph = core.compile_model(model, "CPU", settings)
            checked.result()  # A damaged graph is not stored.
            return graph

        try:
            return compiled.cached(core, self.fingerprint, settings, compile_graph)
        finally:
            checked.result()

    @property
    def _settings(self) -> dict[str, Any]:
        return {} if self.threads is None else {"INFERENCE_NUM_THREADS": self.threads}

    def model(self, core: Any) -> Any:
        """The graph as an OpenVINO model. Raises Damaged."""
        self.check()
        return self._read(core)

    def _read(self, core: Any) -> Any:
        blob = np.frombuffer(self.weights, np.uint8)
        with _load_errors():
            tensor = openvino().Tensor(blob, blob.shape)
            return core.read_model(model=self.graph, weights=tensor)


def _run(work: Callable[[], Any], result: "Future[Any]") -> None:
    """Do some work, for another thread that waits for its result."""
    try:
        result.set_result(work())
    except BaseException as error:
        result.set_exception(error)


def in_batches(model: Any, name: str | None = None) -> "Batches":
    """Compiles an OpenVINO model for many pictures. name: in the cache of compiled graphs."""
    from mocosearch.encoder.batches import THROUGHPUT, Batches

    core = openvino().Core()
    compile_graph = partial(core.compile_model, model, "CPU", THROUGHPUT)
    if name is None:
        return Batches(compile_graph(), model)
    return Batches(compiled.cached(core, name, THROUGHPUT, compile_graph), model)


@contextmanager
def _load_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Damaged("OpenVINO cannot load the encoder's graph", "train it again") from error
