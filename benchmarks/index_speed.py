"""How many photos a second does a new index take in?

Baseline: plain_index.py, the plain loop as one writes it: Pillow, the same network and
descriptor in torch fp32, batches of 32, one process, keys into a NumPy file.
Bars: the whole process of `mocosearch index` is 7 times as fast as the baseline's loop alone for
ResNet-50 at 224 pixels (--recipe v2), and 5 times as fast as the baseline's whole process for
the network that people use (--recipe small, the default). The photos are small JPEGs of
Caltech-101, most of whose time goes into the network; or so many of 12 megapixels, as cameras and
phones make them, cut here from the largest camera photos.

    python -m benchmarks.index_speed
    python -m benchmarks.index_speed --large 240
    python -m benchmarks.index_speed --recipe v2
"""

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

WHOLE_BAR, LOOP_BAR = 5.0, 7.0
OURS, PLAIN = "mocosearch index", "plain loop"


def main() -> None:
    parser = arguments(__doc__, runs=3)
    parser.add_argument("--count", type=int, default=3000, help="photos to index [3000]")
    parser.add_argument("--large", type=int, help="photos of 12 megapixels instead [none]")
    parser.add_argument("--recipe", default="small", help="whose network, untrained [small]")
    args = parser.parse_args()
    files = jpegs(args.photos, args.count)
    title(__doc__)
    with temporary_home() as home:
        encoder = untrained(home, files[:300], "--recipe", args.recipe)
        if args.large:
            files = cut(needed(args.photos / "camera"), args.large, home / "photos")
        else:
            linked(files, home / "photos")
        for file in files:
            file.read_bytes()  # Into the system's cache, for both.
        number = count()
        ways = {
            OURS: lambda: checked(ours(home, encoder, next(number)), len(files)),
            PLAIN: partial(plain, home, encoder, len(files)),
        }
        results: dict[str, list[Run]] = alternating(ways, args.runs)
    whole, loop = report(results, len(files))
    if args.recipe == "v2":
        conclude(LOOP_BAR, loop, what="index, whole process against the loop alone")
    else:
        conclude(WHOLE_BAR, whole, what="index, whole process against whole process")


def cut(camera: Path, count: int, folder: Path) -> list[Path]:
    """Photos of 12 megapixels at a camera's quality, each another part of a camera's photo."""
    folder.mkdir()
    sources, chance, made = largest(camera), np.random.default_rng(0), []
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as image:
            share = chance.uniform(0.7, 0.95)
            width, height = round(image.width * share), round(image.height * share)
            left = int(chance.integers(0, image.width - width))
            top = int(chance.integers(0, image.height - height))
            part = image.convert("RGB").crop((left, top, left + width, top + height))
        made.append(folder / f"{number}.jpg")
        made[-1].write_bytes(as_jpeg(part))
    say(f"{count} photos of {sum(file.stat().st_size for file in made) / count / 1e6:.2f} MB")
    return made


def ours(home: Path, encoder: Path, number: int) -> Run:
    index = home / f"index-{number}"
    return mocosearch("index", home / "photos", "--index", index, "--encoder", encoder, "--json")


def plain(home: Path, encoder: Path, expected: int) -> Run:
    return checked(script("plain_index.py", home / "photos", encoder, home / "k.npy"), expected)


def checked(run: Run, expected: int) -> Run:
    """Both ways must have done all of the work. Copies of a photo may count as moved."""
    told = run.json()
    done = told["embedded"] + told.get("moved", 0)
    assert done == expected, f"{done} of {expected} photos embedded"
    return run


def report(results: dict[str, list[Run]], photos: int) -> tuple[float, float]:
    """Print the table; returns our whole process over the baseline's, and over its loop alone."""
    whole = {name: [photos / r.seconds for r in runs] for name, runs in results.items()}
    loop = {name: [photos / r.json()["seconds"] for r in runs] for name, runs in results.items()}
    rows = [
        [name, what, ranged(rates[name], 1), f"{middle(rates[name]) / middle(rates[PLAIN]):.2f}x"]
        for what, rates in (("whole process", whole), ("without start and imports", loop))
        for name in (OURS, PLAIN)
    ]
    table(["way", "what is timed", "images/s: median (range)", "ratio"], rows)
    ours = middle(whole[OURS])
    return ours / middle(whole[PLAIN]), ours / middle(loop[PLAIN])


if __name__ == "__main__":
    main()
