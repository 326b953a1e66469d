"""Does query --part find photos of which a picture is a part, and where?

    python -m benchmarks.regions [--set caltech101|groceries] [--queries 100] [--count N]

From a seed: crops of 50, 30, 15 and 5% of the area at random positions, rescaled (0.7 to 1.6) and
recompressed; the crop of 30% also mirrored, and with a frame of one colour; whole pictures pasted
into other photos at 10 to 40% of the longest side, with soft edges, another exposure and white
balance. The collection is all photos of the set, and the pasted ones. Baselines in the same run:
the query of whole pictures, and plain local features (those of the verification) against
--plain photos, the original among them. Regions alone: without verification.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.measure import (
    arguments,
    conclude,
    linked,
    middle,
    mocosearch,
    needed,
    say,
    spread,
    table,
    temporary_home,
    title,
)
from indexes import Index
from indexes.parts import codec
from indexes.parts.search import candidates, picture_of, trimmed, verify
from indexes.parts.store import ABOUT
from indexes.parts.verification import SIDE, Verifier
from indexes.search.segments import REGIONS, Segment
from mocosearch.photos.decode import decode_image

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""
BARS = {"30%": 0.9, "15%": 0.75, "5%": 0.4}
PASTED = "pasted"
LARGE, MIXED = 100_000, 2_000
"""Photos of a large collection, and how many of them differ."""
TWICE = ("Faces", "Faces_easy")
"""Folders that show the same pictures, one of them as crops: either may come first."""
SETS = {"caltech101": "*.jpg", "groceries": "*.jpg"}


@dataclass(frozen=True)
class Query:
    """A picture file, the photo that contains it, and where."""

    file: Path
    photo: Path
    box: Box


def crop(path: Path, kind: str, to: Path, random: np.random.Generator) -> Query:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    share = float(kind.partition("%")[0]) / 100
    width, height = (max(8, round(side * share**0.5)) for side in image.size)
    left = int(random.integers(0, image.width - width + 1))
    top = int(random.integers(0, image.height - height + 1))
    part = image.crop((left, top, left + width, top + height))
    scale = float(random.uniform(0.7, 1.6))
    part = part.resize(
        (max(16, round(width * scale)), max(16, round(height * scale))), Image.Resampling.BICUBIC
    )
    if "mirrored" in kind:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if "framed" in kind:
        margin = round(0.08 * max(part.size))
        framed = Image.new("RGB", (part.width + 2 * margin, part.height + 2 * margin), "white")
        framed.paste(part, (margin, margin))
        part = framed
    part.save(to, quality=int(random.integers(60, 90)))
    return Query(to, path, (left, top, width, height))


def paste(thing: Path, host: Path, to: Path, random: np.random.Generator) -> Query:
    """A photo with another one pasted into it; the query is the other one."""
    with Image.open(thing) as opened, Image.open(host) as opened_host:
        small, photo = opened.convert("RGB"), opened_host.convert("RGB")
    scale = float(random.uniform(0.1, 0.4)) * max(photo.size) / max(small.size)
    size = max(8, round(small.width * scale)), max(8, round(small.height * scale))
    size = min(size[0], photo.width), min(size[1], photo.height)
    small = small.resize(size, Image.Resampling.LANCZOS)
    light = 255 * (np.asarray(small, np.float32) / 255) ** random.uniform(0.75, 1.3)
    light *= random.uniform(0.8, 1.15) * random.uniform(0.93, 1.07, 3)
    edge = max(1, round(0.06 * min(size)))
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[edge:-edge, edge:-edge] = 255
    soft = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(edge / 2))
    left = int(random.integers(0, photo.width - size[0] + 1))
    top = int(random.integers(0, photo.height - size[1] + 1))
    photo.paste(Image.fromarray(light.clip(0, 255).astype(np.uint8)), (left, top), soft)
    photo.save(to, quality=85)
    return Query(thing, to, (left, top, *size))


KINDS = ("50%", "30%", "15%", "5%", "30% mirrored", "30% framed")


def queries(links: Sequence[Path], count: int, folder: Path) -> dict[str, list[Query]]:
    """By kind; the pasted photos are written into the folder of the links, to be indexed."""
    links = [link for link in links if link.resolve().parent.name not in TWICE]
    chosen, made = spread(links, count), {}
    for kind in KINDS:
        random = np.random.default_rng(0)
        made[kind] = [
            crop(path, kind, folder / f"{kind} {path.stem}.jpg".replace("%", ""), random)
            for path in chosen
        ]
    # Other photos than those of the crops, which would be found in two photos.
    random, things = np.random.default_rng(0), spread(links[3:], count)
    # Neighbours in the folders often show one scene, where the picture is found as well.
    hosts = spread([link for link in links if link not in chosen], count)
    hosts = [*hosts[len(hosts) // 2 :], *hosts[: len(hosts) // 2]]
    made[PASTED] = [
        paste(thing, host, links[0].parent / f"pasted {thing.stem}.jpg", random)
        for thing, host in zip(things, hosts, strict=True)
    ]
    return made


@dataclass
class Outcome:
    """Of one query by one method: the photo's rank from 1 or 0, and the box's overlap, if any."""

    rank: int
    milliseconds: float
    overlap: float | None = None


def rank_of(photo: Path, paths: Sequence[str]) -> int:
    return next((at for at, path in enumerate(paths, 1) if Path(path).name == photo.name), 0)


def whole(index: Index, query: Query) -> Outcome:
    start = time.perf_counter()
    answer = index.search(query.file, 11, fold=False)
    spent = 1000 * (time.perf_counter() - start)
    # A pasted picture's own photo is in the collection, and comes first.
    paths = [r.record.paths[0] for r in answer if r.record.paths[0] != str(query.file)]
    return Outcome(rank_of(query.photo, paths[:10]), spent)


def alone(index: Index, query: Query) -> Outcome:
    start = time.perf_counter()
    found = candidates(index.snapshot, index._regions, picture_of(query.file, None), None)
    spent = 1000 * (time.perf_counter() - start)
    paths = [one.record.paths[0] for one in found if one.record.paths[0] != str(query.file)]
    return Outcome(rank_of(query.photo, paths), spent)


def verified(index: Index, query: Query) -> Outcome:
    start = time.perf_counter()
    if query.file.parent == query.photo.parent:
        # The photo that was pasted is found as itself, and ends the search before the others.
        picture, frame = trimmed(query.file, None)
        found = candidates(index.snapshot, index._regions, picture, None)
        others = [one for one in found if one.record.paths[0] != str(query.file)]
        pairs = verify(Verifier(picture, frame=frame), others)
        rest = [one for one in others if one not in [pair[0] for pair in pairs]]
        paths = [one.record.paths[0] for one in [*(pair[0] for pair in pairs), *rest]]
        boxes = {pair[0].record.paths[0]: pair[1].box for pair in pairs}
        box = next((boxes[path] for path in boxes if rank_of(query.photo, [path])), None)
    else:
        answer = index.find_part(query.file, 10, fold=False)
        paths = [result.record.paths[0] for result in answer]
        box = None
        for result in answer:
            if result.region and rank_of(query.photo, result.record.paths[:1]):
                size = result.record.width, result.record.height
                region = result.region
                box = (region.x / size[0], region.y / size[1], region.w / size[0])
                box = (*box, region.h / size[1])
    spent = 1000 * (time.perf_counter() - start)
    overlap = None
    if box is not None:
        with Image.open(query.photo) as photo:
            width, height = photo.size
        scaled = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        overlap = iou(scaled, query.box)
    return Outcome(rank_of(query.photo, paths[:10]), spent, overlap)


def plain(photos: Sequence[Path]) -> Callable[[Index, Query], Outcome]:
    """Local features alone, against a few photos."""

    def search(_: Index, query: Query) -> Outcome:
        start = time.perf_counter()
        picture, frame = trimmed(query.file, None)
        verifier, counts = Verifier(picture, frame=frame), {}
        for path in [query.photo, *(path for path in photos if path != query.photo)]:
            if path != query.file:
                agreement = verifier.compare(decode_image(path.read_bytes(), SIDE))
                counts[path] = agreement.count if agreement else 0
        best = sorted(counts, key=lambda path: (-counts[path], path == query.photo))
        rank = best.index(query.photo) + 1 if counts[query.photo] else 0
        return Outcome(rank, 1000 * (time.perf_counter() - start))

    return search


def iou(one: Box, other: Box) -> float:
    """The overlap of two boxes as a share of both together."""
    sides = [
        max(0.0, min(one[at] + one[at + 2], other[at] + other[at + 2]) - max(one[at], other[at]))
        for at in (0, 1)
    ]
    both = sides[0] * sides[1]
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def many(index: Index, picture: Image.Image, runs: int = 20) -> float:
    """Milliseconds to search the regions of LARGE photos, mixed from those of this index."""
    trained, random = codec.load(index.txn), np.random.default_rng(0)
    paths = [index.record(int(id)).paths[0] for id in index.snapshot.regions[0].ids[:256]]
    pixels = [decode_image(Path(path).read_bytes(), index.encoder.side) for path in paths]
    side = index.encoder.side
    squares = np.stack([np.asarray(one.resize((side, side))) for one in pixels])
    features = index._regions.photos(squares).astype(np.float32)
    one, other = random.integers(0, len(features), (2, MIXED))
    mixed = (features[one] + features[other]) / 2
    mixed += 0.3 * features.std((0, 1)) * random.standard_normal(mixed.shape)
    blob = codec.encode(trained, mixed.reshape(-1, mixed.shape[-1]))
    ids = np.arange(1, LARGE + 1, dtype=np.uint64)
    part = Segment.view(memoryview(ids[:MIXED].tobytes()), blob, ABOUT, REGIONS)
    copies = LARGE // MIXED
    blob = codec.join(trained, [part] * copies, [np.ones(MIXED, bool)] * copies)
    segment = Segment.view(memoryview(ids.tobytes()), blob, ABOUT, REGIONS)
    views = index._regions.query(picture).astype(np.float32)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        segment.search(views, 400)
        times.append(1000 * (time.perf_counter() - start))
    return middle(times)


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--encoder", default="starter", help="name or folder [starter]")
    parser.add_argument("--set", default="caltech101", choices=SETS, help="photos [caltech101]")
    parser.add_argument("--queries", type=int, default=100, help="of each kind [100]")
    parser.add_argument("--count", type=int, default=9144, help="most photos in the index [9144]")
    parser.add_argument("--plain", type=int, default=50, help="photos of plain features [50]")
    parser.add_argument("--plain-queries", type=int, default=20, help="of each kind [20]")
    args = parser.parse_args()
    files = spread(sorted(needed(args.photos / args.set).rglob(SETS[args.set])), args.count)
    title(__doc__)
    with temporary_home() as home, tempfile.TemporaryDirectory() as folder:
        links = linked(files, home / "photos")
        made = queries(links, args.queries, Path(folder))
        seconds = {}
        for name, options in (("whole", []), ("parts", ["--parts"])):
            say(f"indexing {len(files)} photos and {len(made[PASTED])} pasted ones: {name}")
            run = mocosearch(
                "index", home / "photos", "--index", home / name, "--encoder", args.encoder,
                "--json", *options,
            )  # fmt: skip
            seconds[name] = run.json()["seconds"]
        with Index.open(home / "parts") as index:
            rows, firsts, overlaps = measure(index, made, links, args)
            stored = index.info()["parts"]
            large = many(index, picture_of(made["30%"][0].file, None))
    table(["query", "method", "first", "in the first ten", "IoU", "IoU >= .7", "ms"], rows)
    ratio = seconds["parts"] / seconds["whole"]
    print(
        f"\nindexing: {seconds['whole']:.1f} s, with parts {seconds['parts']:.1f} s ({ratio:.2f})"
    )
    print(f"bytes per photo: {stored['bytes'] / stored['photos']:.0f}")
    print(f"regions of {LARGE} photos: {large:.1f} ms per query")
    for kind, bar in BARS.items():
        conclude(bar, firsts[kind, "parts"][0], what=f"crops of {kind} found first", unit="")
    conclude(0.5, firsts[PASTED, "parts"][1], what="pasted pictures among ten", unit="")
    conclude(0.7, float(np.mean(overlaps)), what="mean IoU where found", unit="")


def measure(
    index: Index, made: dict[str, list[Query]], links: Sequence[Path], args: object
) -> tuple[list[list[str]], dict[tuple[str, str], tuple[float, float]], list[float]]:
    """Rows of the table, shares found first and among ten, and all overlaps."""
    methods = {
        "whole picture": whole,
        "regions alone": alone,
        "parts": verified,
        f"local features, {args.plain} photos": plain(spread(links, args.plain)),
    }
    rows, shares, overlaps = [], {}, []
    for kind, some in made.items():
        for name, method in methods.items():
            say(f"{kind}: {name}")
            chosen = spread(some, args.plain_queries) if name.startswith("local") else some
            outcomes = [method(index, query) for query in chosen]
            ranks = np.array([one.rank for one in outcomes])
            first, ten = float((ranks == 1).mean()), float(((ranks > 0) & (ranks <= 10)).mean())
            shares[kind, name] = first, ten
            boxes = [one.overlap for one in outcomes if one.overlap is not None]
            overlaps += boxes
            figures = [f"{first:.2f}", f"{ten:.2f}"]
            if name == "regions alone":
                figures[1] += f" (hundred {float((ranks > 0).mean()):.2f})"
            figures += (
                [f"{np.mean(boxes):.2f}", f"{np.mean(np.array(boxes) >= 0.7):.2f}"]
                if boxes
                else ["", ""]
            )
            rows.append(
                [kind, name, *figures, f"{middle([one.milliseconds for one in outcomes]):.0f}"]
            )
    return rows, shares, overlaps


if __name__ == "__main__":
    main()
