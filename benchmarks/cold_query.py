"""How long does a query take from a cold start?

Baseline: a process that runs `import torch, torchvision.models` and ends.
Bar: a whole `mocosearch query` process on an index of 2,000 photos takes at most 0.15 of it,
both for a photo like those in the index and for the largest camera JPEG.

With --part, half of a photo is asked with too: in this index, and by `query --part` in an index
with regions (there a plain query may compare parts itself). Bar: at most 60 ms more.

    python -m benchmarks.cold_query [--part]
"""

from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.measure import (
    TORCH_IMPORT,
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
    table,
    temporary_home,
    title,
    whole_process,
)

BAR = 0.15
PART_BAR = 60
"""ms."""
HALF, PART = "query, half of a photo", "query --part, half of a photo"
BASELINE = "import torch, torchvision.models"


def main() -> None:
    parser = arguments(__doc__, runs=7)
    parser.add_argument("--count", type=int, default=2000, help="photos in the index [2000]")
    parser.add_argument("--part", action="store_true", help="measure query --part, too")
    args = parser.parse_args()
    files = jpegs(args.photos, args.count)
    large = largest_jpeg(needed(args.photos / "camera"))
    title(__doc__)
    with temporary_home() as home:
        index = make_index(home, files)
        images = {label("query", files[0]): files[0], label("query", large): large}
        ways = {name: partial(query, image, index) for name, image in images.items()}
        if args.part:
            half, regions = half_of(files[0], home), home / "regions"
            mocosearch("index", home / "photos", "--index", regions, "--parts")
            ways[HALF] = partial(query, half, index)
            ways[PART] = partial(query, half, regions, "--part")
        ways[BASELINE] = partial(whole_process, TORCH_IMPORT)
        alternating(ways, 1)  # Fills the caches: files, byte code, compiled graph.
        results = alternating(ways, args.runs)
    ratios = report(results)
    worst = max(ratios[name] for name in images)
    conclude(BAR, worst, what="cold query, of the import of torch", most=True)
    if args.part:
        whole, part = (middle(run.seconds for run in results[name]) for name in (HALF, PART))
        more = 1000 * (part - whole)
        conclude(PART_BAR, more, what="query --part, more than query", unit=" ms", most=True)


def make_index(home: Path, files: list[Path]) -> Path:
    """The first answer: the starter, its projection fitted to the photos."""
    linked(files, home / "photos")
    mocosearch("index", home / "photos", "--index", home / "index")
    return home / "index"


def query(image: Path, index: Path, *options: str) -> Run:
    return mocosearch("query", image, "--index", index, "--json", *options)


def half_of(photo: Path, folder: Path) -> Path:
    """The middle of a photo, with half of its area, as a JPEG in the folder."""
    with Image.open(photo) as image:
        width, height = (round(side * 0.5**0.5) for side in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        part = image.convert("RGB").crop((left, top, left + width, top + height))
    part.save(folder / "half.jpg", quality=90)
    return folder / "half.jpg"


def largest_jpeg(folder: Path) -> Path:
    def area(path: Path) -> int:
        with Image.open(path) as image:
            return image.width * image.height

    return max((p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg")), key=area)


def label(what: str, path: Path) -> str:
    with Image.open(path) as image:
        return f"{what}, {image.width} x {image.height}"


def report(results: dict[str, list[Run]]) -> dict[str, float]:
    """Print both tables; returns the ratio of each way to the baseline."""
    base = middle(run.seconds for run in results[BASELINE])
    ratios = {name: middle(r.seconds for r in runs) / base for name, runs in results.items()}
    rows = [
        [name, ranged([r.seconds for r in runs], 3), f"{ratios[name]:.3f}"]
        for name, runs in results.items()
    ]
    table(["whole process", "s: median (range)", "of the baseline"], rows)
    print("\nparts of it, s, medians:\n")
    heads = ["query", "start of the program", "open the index", "decode, load, encode", "search"]
    table(heads, [[name, *split(runs)] for name, runs in results.items() if name != BASELINE])
    return ratios


def split(runs: list[Run]) -> list[str]:
    parts = []
    for run in runs:
        seconds = run.json()["seconds"]
        opening = seconds["total"] - seconds["encode"] - seconds["search"]
        start = run.seconds - seconds["total"]
        parts.append((start, opening, seconds["encode"], seconds["search"]))
    return [f"{middle(values):.4f}" for values in zip(*parts, strict=True)]


if __name__ == "__main__":
    main()
