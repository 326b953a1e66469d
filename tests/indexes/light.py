"""Tiny encoders in place of networks, for tests of the store, where any keys will do."""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from mocosearch.encoder import Card, Encoder
from mocosearch.encoder.card import fingerprint
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS, openvino
from mocosearch.photos.worker import read_photo

SIDE, DIMENSION = 16, 24


def light(number: int) -> Encoder:
    """An encoder with its own fingerprint."""
    graph, weights = b"graph", str(number).encode()
    return Encoder(_card(fingerprint(graph, weights)), graph, weights)


def _card(encoder_fingerprint: str) -> Card:
    return Card("light", SIDE, DIMENSION, {}, 0, 0.0, 0.0, None, encoder_fingerprint, "2026-01-01")


def openvino_encoder(folder: Path) -> Encoder:
    """An encoder in a folder, with a graph for OpenVINO: random projections of the pixels."""
    ov = openvino()
    import openvino.opset8 as ops

    rng = np.random.default_rng(5)
    directions = rng.standard_normal((SIDE * SIDE * 3, DIMENSION)).astype(np.float32)
    pixels = ops.parameter([-1, SIDE, SIDE, 3], np.uint8, name="pixels")
    centred = ops.subtract(ops.convert(pixels, np.float32), np.float32(127.5))
    flat = ops.reshape(centred, np.array([-1, SIDE * SIDE * 3]), special_zero=False)
    keys = ops.normalize_l2(ops.matmul(flat, directions, False, False), np.array([1]), 1e-9, "max")
    folder.mkdir()
    ov.serialize(ov.Model([keys], [pixels], "light"), folder / GRAPH, folder / WEIGHTS)
    graph, weights = ((folder / name).read_bytes() for name in (GRAPH, WEIGHTS))
    (folder / CARD).write_text(_card(fingerprint(graph, weights)).to_json())
    return Encoder.open(folder)


def encode(self: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Random projections of the pixels, different for each fingerprint; unit length."""
    seed = zlib.crc32(self.fingerprint.encode())
    directions = np.random.default_rng(seed).standard_normal((SIDE * SIDE * 3, DIMENSION))
    keys = (pixels.reshape(len(pixels), -1) / 255 - 0.5) @ directions
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


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
