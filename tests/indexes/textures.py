"""Photos with enough detail for local features, all different."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 320, 240


def texture(number: int) -> Image.Image:
    """Noise of several sizes in colour."""
    random = np.random.default_rng(number)
    total = np.zeros((SIZE[1], SIZE[0], 3))
    for cells, weight in ((4, 60), (12, 50), (36, 40)):
        noise = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        larger = Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)
        total += weight * (np.asarray(larger) / 255 - 0.5)
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


def draw_textures(folder: Path, count: int, first: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:03}.jpg" for number in range(first, first + count)]
    for number, file in enumerate(files, first):
        texture(number).save(file, quality=92)
    return files
