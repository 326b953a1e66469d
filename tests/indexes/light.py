"""Encoders of a few lines in place of networks: for tests of the store, where any keys will do."""

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
    """One of many encoders with fingerprints of their own."""
    graph, weights = b"graph", str(number).encode()
    told = fingerprint(graph, weights)
    card = Card("light", SIDE, DIMENSION, {}, 0, 0.0, 0.0, None, told, "2026-01-01")
    return Encoder(card, graph, weights)


def compiled(folder: Path) -> Encoder:
    """One with a graph that OpenVINO runs, in a folder: random directions of the pixels."""
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
    told = fingerprint((folder / GRAPH).read_bytes(), (folder / WEIGHTS).read_bytes())
    card = Card("light", SIDE, DIMENSION, {}, 0, 0.0, 0.0, None, told, "2026-01-01")
    (folder / CARD).write_text(card.to_json())
    return Encoder.open(folder)


def encode(self: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Random directions of the pixels, others for each fingerprint; unit length."""
    seed = zlib.crc32(self.fingerprint.encode())
    directions = np.random.default_rng(seed).standard_normal((SIDE * SIDE * 3, DIMENSION))
    keys = (pixels.reshape(len(pixels), -1) / 255 - 0.5) @ directions
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def here(files, side, workers=None):
    """As `photos.read_photos`, in this process."""
    for found in files:
        yield found, read_photo(found.path, side)


def draw(folder: Path, count: int) -> list[Path]:
    """Small pictures that no two look alike of."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:03}.png" for number in range(count)]
    for number, file in enumerate(files):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 24)).save(file)
    return files
