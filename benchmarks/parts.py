"""Is the original found from a part of it, or from an altered copy?

    python -m benchmarks.parts --encoder PATH [--queries 300]

From photos of Caltech-101 are made, from a seed: a crop of 30% of the area anywhere; a screenshot
of a telephone, black or white, with and without clock and buttons; the mirrored picture; one
turned by a quarter. The collection is all 9,144. Baseline in the same run: the one key of the
whole query. Bars: without `--turned` nine screenshots in ten find their original first; with it
nine mirrored and turned pictures in ten do.
The last way is none of the program's: the picture drawn out at its edges, in nine places of a
larger one, asked for besides the whole.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from cli.search import search
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
from cli.question import ask, read_image
from indexes import Index
from indexes.search.segments import Keys

BAR = 0.9
SHARE = 0.3
SCREEN = (360, 780)
LARGER = 1.35
Alter = Callable[[Image.Image, np.random.Generator], Image.Image]
Way = Callable[[Index, Path], Keys]


def crop(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(side * SHARE**0.5)) for side in image.size)
    left = int(chance.integers(0, image.width - width + 1))
    top = int(chance.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def screenshot(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """As wide as the screen, in its middle; a high picture fills it and is cut."""
    screen = Image.new("RGB", SCREEN, "black" if chance.random() < 0.5 else "white")
    small = image.resize((SCREEN[0], round(image.height * SCREEN[0] / image.width)))
    screen.paste(small, (0, (SCREEN[1] - small.height) // 2))
    return screen


def with_buttons(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    screen = screenshot(image, chance)
    draw = ImageDraw.Draw(screen)
    for left in (20, 170, 310):
        draw.rectangle((left, 12, left + 30, 22), fill="grey")
        draw.rectangle((left, 750, left + 24, 772), fill="grey")
    return screen


def mirrored(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def turned(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    ways = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return image.transpose(ways[chance.integers(0, 3)])


ALTERED: Mapping[str, Alter] = {
    "whole": lambda image, chance: image,
    "a crop of 30%": crop,
    "a screenshot": screenshot,
    "a screenshot with buttons": with_buttons,
    "mirrored": mirrored,
    "turned": turned,
}


def whole_alone(index: Index, path: Path) -> Keys:
    return index.encoder.encode(read_image(str(path), index.encoder.side)[1][None])


def query(index: Index, path: Path, turned: bool = False) -> Keys:
    return ask(index.encoder, [str(path)], turned=turned).keys


def drawn_out(index: Index, path: Path) -> Keys:
    side = index.encoder.side
    pixels = read_image(str(path), side)[1]
    room = round(side * (LARGER - 1))
    views = [pixels]
    for top in (0, room // 2, room):
        for left in (0, room // 2, room):
            pads = ((top, room - top), (left, room - left), (0, 0))
            larger = Image.fromarray(np.pad(pixels, pads, mode="edge"))
            views.append(np.asarray(larger.resize((side, side), Image.Resampling.BILINEAR)))
    return index.encoder.encode(np.stack(views))


BASELINE = "one key of the whole"
WAYS: Mapping[str, Way] = {
    BASELINE: whole_alone,
    "query": query,
    "query --turned": partial(query, turned=True),
    "drawn out in nine places": drawn_out,
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
            rows, shares = measured(index, spread(links, args.queries))
    heads = ["asked with", "way", "first", "in the first ten", "score of the original", "ms"]
    table(heads, rows)
    screens = min(shares[name, "query"] for name in ALTERED if name.startswith("a screenshot"))
    ways = min(shares[name, "query --turned"] for name in ("mirrored", "turned"))
    crops = [shares["a crop of 30%", way] for way in WAYS]
    print("\na crop of 30%: " + ", ".join(f"{c:.2f} {w}" for w, c in zip(WAYS, crops, strict=True)))
    conclude(BAR, ways, what="mirrored and turned, with --turned, found first", unit="")
    conclude(BAR, screens, what="screenshots found first", unit="")


def measured(
    index: Index, some: list[Path]
) -> tuple[list[list[str]], dict[tuple[str, str], float]]:
    """Rows of the table, and the share found first by alteration and way."""
    rows, shares = [], {}
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        for what, alter in ALTERED.items():
            chance = np.random.default_rng(0)
            made = [altered(path, alter, chance, Path(folder)) for path in some]
            for name, way in WAYS.items():
                say(f"{what}: {name}")
                told = [found(index, way, query, path) for query, path in made]
                ranks, scores, taken = zip(*told, strict=True)
                shares[what, name] = float(np.mean([rank == 1 for rank in ranks]))
                ten = float(np.mean([rank > 0 for rank in ranks]))
                known = [score for score in scores if score is not None]
                score = f"{middle(known):.2f}" if known else ""
                figures = [f"{shares[what, name]:.3f}", f"{ten:.3f}", score]
                rows.append([what, name, *figures, f"{middle(taken):.1f}"])
    return rows, shares


def altered(
    path: Path, alter: Alter, chance: np.random.Generator, folder: Path
) -> tuple[Path, Path]:
    """The file of an altered copy, and of its original."""
    to = folder / path.name
    with Image.open(path) as image:
        alter(image.convert("RGB"), chance).save(to, quality=85)
    return to, path


def found(index: Index, way: Way, query: Path, original: Path) -> tuple[int, float | None, float]:
    """The original's rank among the first ten or 0, its score, and milliseconds."""
    begun = time.perf_counter()
    lines = search(index, way(index, query), 10, fold=False).lines
    taken = 1000 * (time.perf_counter() - begun)
    for rank, match in enumerate((line.match for line in lines), 1):
        if str(original.absolute()) in match.record.paths:
            return rank, match.score, taken
    return 0, None, taken


if __name__ == "__main__":
    main()
