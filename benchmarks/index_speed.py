"""How many photos per second does `index` add to a new index?

Baseline: plain_index.py, a plain loop: Pillow, the same network and descriptor in torch fp32,
batches of 32, one process, keys into a NumPy file.
Bars: the whole process of `mocosearch index` is 7 times as fast as the baseline's loop alone for
ResNet-50 at 224 pixels (--recipe v2), and 5 times as fast as the baseline's whole process for
the default network (--recipe small). Without its start it reaches .85 of a bound that is measured
after each run: decoding on all cores, each as fast as one by itself, and then encoding on all cores
in full batches.

The photos are small JPEGs of Caltech-101, which spend most of their time in the network. With
--large they have 12 megapixels, like those of cameras and phones, and are cropped from the largest
camera photos.

    python -m benchmarks.index_speed
    python -m benchmarks.index_speed --large 240
    python -m benchmarks.index_speed --recipe v2
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.decode_speed import as_jpeg, largest
from benchmarks.measure import (
    Run,
    alternating,
    arguments,
    conclude,
    jpegs,
    linked,
    middle,
    mocosearch,
    needed,
    ranged,
    say,
    script,
    table,
    temporary_home,
    title,
    untrained,
)
from mocosearch.encoder import Encoder
from mocosearch.photos import decode

WHOLE_BAR, LOOP_BAR, BOUND_BAR = 5.0, 7.0, 0.85
OURS, PLAIN = "mocosearch index", "plain loop"
BOUND_PHOTOS = 640


def main() -> None:
    parser = arguments(__doc__, runs=3)
    parser.add_argument("--count", type=int, default=3000, help="photos to index [3000]")
    parser.add_argument("--large", type=int, help="photos of 12 megapixels to index instead [none]")
    parser.add_argument(
        "--recipe", default="small", help="the recipe whose network is used, untrained [small]"
    )
    args = parser.parse_args()
    files = jpegs(args.photos, args.count)
    title(__doc__)
    with temporary_home() as home:
        encoder = untrained(home, files[:300], "--recipe", args.recipe)
        if args.large:
            files = crop(needed(args.photos / "camera"), args.large, home / "photos")
        else:
            linked(files, home / "photos")
        for file in files:
            file.read_bytes()  # Fill the system's cache for both ways.
        number, shares = count(), []

        def way() -> Run:
            run = check(ours(home, encoder, next(number)), len(files))
            shares.append(len(files) / run.json()["seconds"] / bound(encoder, files[:BOUND_PHOTOS]))
            return run

        ways = {
            OURS: way,
            PLAIN: partial(plain, home, encoder, len(files)),
        }
        results: dict[str, list[Run]] = alternating(ways, args.runs)
    whole, loop = report(results, len(files))
    conclude(BOUND_BAR, middle(shares), what=f"index, of its bound ({ranged(shares)})")
    if args.recipe == "v2":
        conclude(LOOP_BAR, loop, what="index, whole process against the loop alone")
    else:
        conclude(WHOLE_BAR, whole, what="index, whole process against whole process")


def bound(encoder: Path, files: Sequence[Path]) -> float:
    """Photos per second if decoding used every core and encoding nothing else but its batches."""
    opened, data = Encoder.open(encoder), [file.read_bytes() for file in files]
    begin = time.perf_counter()
    pixels = np.stack([decode(each, opened.side).pixels for each in data])
    decoding = (time.perf_counter() - begin) / len(files)
    opened.encode(pixels[:64])
    begin = time.perf_counter()
    opened.encode(pixels)
    encoding = (time.perf_counter() - begin) / len(files)
    cores = len(os.sched_getaffinity(0))
    say(f"decoding {1 / decoding:.0f} images/s per core, encoding {1 / encoding:.0f} on {cores}")
    return 1 / (decoding / cores + encoding)


def crop(camera: Path, count: int, folder: Path) -> list[Path]:
    """Photos of 12 megapixels at a camera's quality, each a different crop of a camera photo."""
    folder.mkdir()
    sources, rng, files = largest(camera), np.random.default_rng(0), []
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as image:
            share = rng.uniform(0.7, 0.95)
            width, height = round(image.width * share), round(image.height * share)
            left = int(rng.integers(0, image.width - width))
            top = int(rng.integers(0, image.height - height))
            part = image.convert("RGB").crop((left, top, left + width, top + height))
        files.append(folder / f"{number}.jpg")
        files[-1].write_bytes(as_jpeg(part))
    say(f"{count} photos of {sum(file.stat().st_size for file in files) / count / 1e6:.2f} MB")
    return files


def ours(home: Path, encoder: Path, number: int) -> Run:
    index = home / f"index-{number}"
    return mocosearch("index", home / "photos", "--index", index, "--encoder", encoder, "--json")


def plain(home: Path, encoder: Path, expected: int) -> Run:
    return check(script("plain_index.py", home / "photos", encoder, home / "k.npy"), expected)


def check(run: Run, expected: int) -> Run:
    """Both ways must do all of the work. Copies of a photo may count as moved."""
    counts = run.json()
    done = counts["embedded"] + counts.get("moved", 0)
    assert done == expected, f"{done} of {expected} photos embedded"
    return run


def report(results: dict[str, list[Run]], photos: int) -> tuple[float, float]:
    """Print the table; returns our rate over the baseline's, and over that of its loop alone."""
    whole = {name: [photos / r.seconds for r in runs] for name, runs in results.items()}
    loop = {name: [photos / r.json()["seconds"] for r in runs] for name, runs in results.items()}
    rows = [
        [name, what, ranged(rates[name], 1), f"{middle(rates[name]) / middle(rates[PLAIN]):.2f}x"]
        for what, rates in (("whole process", whole), ("without start and imports", loop))
        for name in (OURS, PLAIN)
    ]
    table(["way", "time of", "images/s: median (range)", "ratio"], rows)
    ours = middle(whole[OURS])
    return ours / middle(whole[PLAIN]), ours / middle(loop[PLAIN])


if __name__ == "__main__":
    main()
