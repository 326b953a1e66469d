"""How much faster are large photos decoded than by Pillow alone, on one core?

Baseline: Image.open, convert("RGB"), resize to the square: all pixels are decoded, then resized.
Ours: mocosearch.photos.decode, facts and hashes included. One process, one thread, the file's
bytes in memory. The 12-megapixel JPEGs are resized from the largest camera photos.
Bar: 8 times as many 12-megapixel JPEGs per second. For a photo of 2 MB or more, nine tenths of our
time go into its Huffman codes, which must be decoded at every scale: simplejpeg and OpenCV at an
eighth of the size are 6.4 times as fast as the baseline, Pillow's draft is 6.0 times as fast
(2026-11-26).

    python -m benchmarks.decode_speed
"""

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from benchmarks.measure import (
    alternating,
    arguments,
    conclude,
    middle,
    needed,
    ranged,
    table,
    title,
)
from mocosearch.photos import decode

BAR = 8.0
SIDE = 224
LARGE = (4000, 3000)
OURS, PLAIN = "mocosearch.photos.decode", "Pillow"


def main() -> None:
    args = arguments(__doc__, runs=5).parse_args()
    title(__doc__)
    pillow_heif.register_heif_opener()
    camera = needed(args.photos / "camera")
    sets = {
        "JPEG, 12 megapixels": large(largest(camera)),
        "HEIC, phones": [path.read_bytes() for path in sorted(camera.glob("heic_*"))],
        "JPEG, Caltech-101": [
            path.read_bytes() for path in sorted((args.photos / "caltech101").rglob("*.jpg"))[::150]
        ],
    }
    ratios = [report(name, data, args.runs) for name, data in sets.items()]
    conclude(BAR, ratios[0], what="12-megapixel JPEGs per second")


def largest(camera: Path) -> list[Path]:
    """The JPEGs that photos of 12 megapixels are made from."""
    return sorted(camera.glob("jpg_*.jpg"), key=lambda path: path.stat().st_size)[-6:]


def large(files: list[Path]) -> list[bytes]:
    """The photos, resized to 12 megapixels, at a camera's quality."""
    photos = []
    for file in files:
        with Image.open(file) as image:
            photos.append(as_jpeg(image.convert("RGB")))
    return photos


def as_jpeg(image: Image.Image) -> bytes:
    """A picture resized to 12 megapixels and saved at a camera's quality."""
    out = io.BytesIO()
    image.resize(LARGE, Image.Resampling.BICUBIC).save(out, "JPEG", quality=92)
    return out.getvalue()


def plain(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def ours(data: bytes) -> None:
    _ = decode(data, SIDE)


def report(name: str, files: list[bytes], runs: int) -> float:
    """Print the rates of one set of files; returns the ratio."""
    for data in files:
        ours(data)  # Register plugins and build profiles first.
    rates = alternating({OURS: lambda: rate(ours, files), PLAIN: lambda: rate(plain, files)}, runs)
    ratio = middle(rates[OURS]) / middle(rates[PLAIN])
    rows = [[way, ranged(values, 1), ""] for way, values in rates.items()]
    rows[0][2] = f"{ratio:.2f}x"
    print(f"{name}: {len(files)} files, {sum(map(len, files)) / len(files) / 1e6:.2f} MB each")
    table(["way", "photos/s on one core: median (range)", "ratio"], rows)
    print(flush=True)
    return ratio


def rate(way: Callable[[bytes], None], files: list[bytes]) -> float:
    """Photos per second of processor time, which other programs do not affect."""
    start = time.process_time()
    for data in files:
        way(data)
    return len(files) / (time.process_time() - start)


if __name__ == "__main__":
    main()
