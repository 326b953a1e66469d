"""Do altered copies of whole pictures find their original? For parts: benchmarks.regions.

    python -m benchmarks.altered --encoder PATH [--queries 300]

Photos of Caltech-101 are altered, from a seed: a screenshot of a telephone, black or white, with
and without clock and buttons; mirrored; turned by a quarter. The collection is all 9,144. Baseline
in the same run: one key of the whole query. Bars: without `--turned`, nine screenshots in ten find
their original first; with it, nine mirrored or turned pictures in ten do.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.measure import (
    arguments,
    conclude,
    jpegs,
    linked,
    middle,
    mocosearch,
    say,
    spread,
    table,
    temporary_home,
    title,
)
from indexes import Index, Question
from mocosearch.photos import decode

BAR = 0.9
SCREEN = (360, 780)
Alter = Callable[[Image.Image, np.random.Generator], Image.Image]
Method = Callable[[Index, Path], Question]


def screenshot(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """As wide as the screen and centred; a high picture is cut to the screen."""
    screen = Image.new("RGB", SCREEN, "black" if random.random() < 0.5 else "white")
    small = image.resize((SCREEN[0], round(image.height * SCREEN[0] / image.width)))
    screen.paste(small, (0, (SCREEN[1] - small.height) // 2))
    return screen


def with_buttons(image: Image.Image, random: np.random.Generator) -> Image.Image:
    screen = screenshot(image, random)
    draw = ImageDraw.Draw(screen)
    for left in (20, 170, 310):
        draw.rectangle((left, 12, left + 30, 22), fill="grey")
        draw.rectangle((left, 750, left + 24, 772), fill="grey")
    return screen


def mirror(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def turn(image: Image.Image, random: np.random.Generator) -> Image.Image:
    ways = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return image.transpose(ways[random.integers(0, 3)])


ALTERATIONS: Mapping[str, Alter] = {
    "whole": lambda image, random: image,
    "a screenshot": screenshot,
    "a screenshot with buttons": with_buttons,
    "mirrored": mirror,
    "turned": turn,
}


def one_key(index: Index, path: Path) -> Question:
    return index.question(decode(path.read_bytes(), index.encoder.side).pixels)


def query(index: Index, path: Path, orientations: bool = False) -> Question:
    return index.question(path, orientations=orientations)


BASELINE = "one key of the whole"
METHODS: Mapping[str, Method] = {
    BASELINE: one_key,
    "query": query,
    "query --turned": partial(query, orientations=True),
}


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--encoder", required=True, help="a trained encoder's folder")
    parser.add_argument("--queries", type=int, default=300, help="photos altered [300]")
    parser.add_argument("--count", type=int, default=9144, help="photos in the index [9144]")
    args = parser.parse_args()
    files = jpegs(args.photos, args.count)
    title(__doc__)
    with temporary_home() as home:
        say(f"indexing {len(files)} photos")
        links = linked(files, home / "photos")
        mocosearch("index", home / "photos", "--index", home / "index", "--encoder", args.encoder)
        with Index.open(home / "index") as index:
            rows, shares = measure(index, spread(links, args.queries))
    heads = ["query", "method", "first", "in the first ten", "score of the original", "ms"]
    table(heads, rows)
    screens = min(shares[name, "query"] for name in ALTERATIONS if name.startswith("a screenshot"))
    turned = min(shares[name, "query --turned"] for name in ("mirrored", "turned"))
    print()
    conclude(BAR, turned, what="mirrored and turned, with --turned, found first", unit="")
    conclude(BAR, screens, what="screenshots found first", unit="")


def measure(
    index: Index, originals: list[Path]
) -> tuple[list[list[str]], dict[tuple[str, str], float]]:
    """Rows of the table, and the share found first by alteration and method."""
    rows, shares = [], {}
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        for what, alter in ALTERATIONS.items():
            random = np.random.default_rng(0)
            copies = [alter_file(path, alter, random, Path(folder)) for path in originals]
            for name, method in METHODS.items():
                say(f"{what}: {name}")
                pairs = zip(copies, originals, strict=True)
                results = [rank_of(index, method, copy, original) for copy, original in pairs]
                ranks, scores, times = zip(*results, strict=True)
                shares[what, name] = float(np.mean([rank == 1 for rank in ranks]))
                ten = float(np.mean([rank > 0 for rank in ranks]))
                in_ten = [score for score in scores if score is not None]
                score = f"{middle(in_ten):.2f}" if in_ten else ""
                figures = [f"{shares[what, name]:.3f}", f"{ten:.3f}", score]
                rows.append([what, name, *figures, f"{middle(times):.1f}"])
    return rows, shares


def alter_file(path: Path, alter: Alter, random: np.random.Generator, folder: Path) -> Path:
    """The file of an altered copy."""
    to = folder / path.name
    with Image.open(path) as image:
        alter(image.convert("RGB"), random).save(to, quality=85)
    return to


def rank_of(
    index: Index, method: Method, copy: Path, original: Path
) -> tuple[int, float | None, float]:
    """The original's rank among the first ten or 0, its score, and milliseconds."""
    start = time.perf_counter()
    answer = index.answer(method(index, copy), 10, fold=False)
    milliseconds = 1000 * (time.perf_counter() - start)
    for rank, result in enumerate(answer, 1):
        if str(original.absolute()) in result.record.paths:
            return rank, result.score, milliseconds
    return 0, None, milliseconds


if __name__ == "__main__":
    main()
