"""Tiny encoders in place of networks, for tests of the store, where any keys will do."""

import hashlib
import math
import zlib
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from mocosearch.encoder import Card, Encoder
from mocosearch.encoder.card import fingerprint
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS, openvino
from mocosearch.photos.workers.worker import read_photo

if TYPE_CHECKING:
    from torch import nn

SIDE, DIMENSION = 16, 24


def light(number: int) -> Encoder:
    """An encoder with its own fingerprint."""
    graph, weights = b"graph", str(number).encode()
    return Encoder(_card(fingerprint(graph, weights)), graph, weights)


def _card(encoder_fingerprint: str) -> Card:
    return Card("light", SIDE, DIMENSION, {}, 0, 0.0, 0.0, None, encoder_fingerprint, "2026-01-01")


def openvino_encoder(folder: Path) -> Encoder:
    """An encoder in a folder, with a graph for OpenVINO: random projections of the pixels."""
    folder.mkdir()
    openvino().serialize(projections(SIDE, DIMENSION, 5), folder / GRAPH, folder / WEIGHTS)
    graph, weights = ((folder / name).read_bytes() for name in (GRAPH, WEIGHTS))
    (folder / CARD).write_text(_card(fingerprint(graph, weights)).to_json())
    return Encoder.open(folder)


def fitted_encoder() -> Encoder:
    """An encoder whose whitening was fitted on other photos, so that an index fits it again."""
    from mocosearch.encoder.card import OTHERS
    from mocosearch.encoder.export import to_bytes

    graph, weights = to_bytes(projections(SIDE, DIMENSION, 7, width=48))
    card = replace(_card(fingerprint(graph, weights)), whitening=OTHERS)
    return Encoder(card, graph, weights)


def projections(side: int, dimension: int, seed: int, width: int = 0) -> object:
    """An OpenVINO model: uint8 (n, side, side, 3) to unit vectors (n, dimension).

    width: of features that are whitened, as in an exported graph; 0 for no whitening.
    """
    ov = openvino()
    import openvino.opset8 as ops

    constant = ov.op.Constant  # opset8 copies large arrays as lists
    cells = math.gcd(side, 16)
    size = cells * cells * 3
    directions = np.random.default_rng(seed).standard_normal((size, dimension)).astype(np.float32)
    pixels = ops.parameter([-1, side, side, 3], np.uint8, name="pixels")
    centred = ops.subtract(ops.convert(pixels, np.float32), np.float32(127.5))
    blocks = np.array([-1, cells, side // cells, cells, side // cells, 3])
    pooled = ops.reduce_mean(ops.reshape(centred, blocks, special_zero=False), np.array([2, 4]))
    flat = ops.reshape(pooled, np.array([-1, size]), special_zero=False)
    if width:
        spread = np.random.default_rng(seed).standard_normal((size, width)).astype(np.float32)
        features = ops.matmul(flat, constant(spread), False, False)
        flat = ops.subtract(features, np.full(width, 1e-3, np.float32))
        directions = np.resize(directions, (width, dimension))
    products = ops.matmul(flat, constant(directions), False, False)
    keys = ops.normalize_l2(products, np.array([1]), 1e-9, "max")
    return ov.Model([keys], [pixels], "light")


def light_graph(descriptor: "nn.Module", side: int) -> object:
    """In place of `export._graph`, which takes seconds: projections that depend on all weights."""
    digest = hashlib.sha256()
    for name, value in descriptor.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    seed = int(digest.hexdigest()[:16], 16)
    width, dimension = descriptor.projection.shape
    return projections(side, dimension, seed, width)


def export_light_graphs() -> None:
    """From now on; for a process that ends with its test."""
    from mocosearch.encoder import export

    export._graph = light_graph


def encode(self: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Random projections of the pixels, different for each fingerprint; unit length."""
    seed = zlib.crc32(self.fingerprint.encode())
    directions = np.random.default_rng(seed).standard_normal((SIDE * SIDE * 3, DIMENSION))
    keys = (pixels.reshape(len(pixels), -1) / 255 - 0.5) @ directions
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


class LightBatches:
    """In place of an encoder's batches; see `use_light_encoders`."""

    batch, at_once = 64, 1

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        return [encode(self.encoder, pixels)]

    def submit(self, pixels: np.ndarray) -> "Future[list[np.ndarray]]":
        outputs: Future[list[np.ndarray]] = Future()
        outputs.set_result(self.run(pixels))
        return outputs


def use_light_encoders(patch: pytest.MonkeyPatch) -> None:
    """Let every encoder compute `encode`, whatever its graph."""
    patch.setattr(Encoder, "encode", encode)
    patch.setattr(Encoder, "batches", property(LightBatches))


def read_in_process(files, side, workers=None):
    """Like `photos.read_photos`, in this process."""
    for file in files:
        yield file, read_photo(file.path, side)


def draw(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Small pictures, all different, numbered from the first."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:03}.png" for number in range(first, first + count)]
    for number, file in enumerate(files, first):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 24)).save(file)
    return files
