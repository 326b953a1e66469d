"""A small index with a small encoder for the real command: no network, no training."""

from pathlib import Path

from light import draw, openvino_encoder

from indexes import Index


def light_index(folder: Path, photos: Path, count: int = 6) -> Path:
    """An index in a folder, of `count` photos that are drawn into another one."""
    encoder = openvino_encoder(folder.parent / f"{folder.name}-encoder")
    draw(photos, count)
    with Index.create(folder, encoder) as index:
        index.sync(photos, workers=1)
    return folder
