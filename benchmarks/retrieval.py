"""Does an encoder retrieve photos of the same class?

Leave-one-out precision at 1 and 10 by plain cosine, on Caltech-101 (objects centred) and on
groceries (objects anywhere). Keys come from an index that the real command makes; labels are used
for scoring only.
Baselines: 8x8 colour thumbnails, and the untrained network with the same descriptor. Also shown:
the starter, which was not trained on these photos, as published and as refitted by an index.
Bars: the trained encoder's P@10 is at least the best baseline's (1.0x) on both sets; after 20
minutes from nothing .32 on Caltech and .34 on groceries; after 20 from the starter .02 above it.

    python -m benchmarks.retrieval --minutes 20      trained on each set, from nothing
    python -m benchmarks.retrieval --minutes 20 --init starter      from the starter
    python -m benchmarks.retrieval --encoder PATH    one encoder on both sets
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
from indexes.search.question import unit
from mocosearch.encoder import Encoder
from mocosearch.evaluation import precision_at
from mocosearch.home import STARTER
from mocosearch.photos import decode

BAR = 1.0
FROM_NOTHING = {"caltech101_max40": 0.32, "groceries": 0.34}
"""P@10 after LONG minutes."""
FROM_STARTER = 0.02
"""P@10 above the starter's after as long."""
LONG = 20.0
AT_ONCE = 64
SETS = tuple(FROM_NOTHING)
Keys = NDArray[np.float32]
Score = dict[int, float]


@dataclass(frozen=True)
class Photos:
    """A labelled set as a folder of links whose names do not show the label."""

    name: str
    folder: Path
    links: list[Path]
    labels: list[str]


def main() -> None:
    parser = arguments(__doc__, runs=1)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--encoder", help="a trained encoder's folder")
    how.add_argument("--minutes", type=float, default=20.0, help="train so long on each set [20]")
    parser.add_argument("--init", default="none", help="what the training starts from [none]")
    parser.add_argument("--limit", type=int, help="at most so many photos a set [all]")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="options for train")
    args = parser.parse_args()
    for name in SETS:
        needed(args.photos / f"{name}.tsv")
    title(__doc__)
    rows, ratios, reached, gained = [], [], {}, []
    for name in SETS:
        with temporary_home() as home:
            photos = labelled(args.photos, name, home, args.limit)
            scores = baselines(home, photos, args.train)
            base = max(score[10] for score in scores.values())
            scores["the starter as it comes"] = as_it_comes(photos)
            scores["the starter in an index, which fits its whitening"] = scored(
                home, photos, "starter"
            )
            scores[trained_name(args)] = best = trained(home, photos, args)
        rows += [row(photos, method, score, base) for method, score in scores.items()]
        ratios.append(best[10] / base)
        reached[name] = best[10]
        gained.append(best[10] - scores["the starter as it comes"][10])
    table(["photos", "keys", "P@1", "P@10", "P@10, of the best baseline"], rows)
    conclude(BAR, min(ratios), what="trained over the best baseline, P@10, the lower of both")
    if args.encoder or args.minutes < LONG:
        return
    if args.init == "starter":
        what = "trained above the starter as it comes, P@10, the lower of both"
        conclude(FROM_STARTER, min(gained), what=what, unit="")
    if args.init == "none":
        for name, bar in FROM_NOTHING.items():
            conclude(bar, reached[name], what=f"{name}, P@10 from nothing", unit="")


def trained_name(args: argparse.Namespace) -> str:
    if args.encoder:
        return "trained (given)"
    seeds = "" if args.runs == 1 else f", median of {args.runs} seeds"
    return f"trained {args.minutes:g} minutes, init {args.init}{seeds}"


def row(photos: Photos, method: str, score: Score, base: float) -> list[str]:
    figures = [f"{score[1]:.3f}", f"{score[10]:.3f}", f"{score[10] / base:.2f}x"]
    return [f"{photos.name}, {len(photos.links)}", method, *figures]


def labelled(data: Path, name: str, home: Path, limit: int | None) -> Photos:
    lines = (data / f"{name}.tsv").read_text().splitlines()
    pairs = [line.split("\t") for line in spread(lines, limit or len(lines))]
    links = linked([data / path for path, _ in pairs], home / name)
    return Photos(name, home / name, links, [label for _, label in pairs])


def thumbnails(photos: Photos) -> Keys:
    """The photos squashed to 8x8 RGB: float32 (n, 192) in 0..255."""

    def thumbnail(path: Path) -> NDArray[np.uint8]:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR)
            return np.asarray(small).ravel()

    say(f"{photos.name}: thumbnails")
    return np.stack([thumbnail(path) for path in photos.links]).astype(np.float32)


def baselines(home: Path, photos: Photos, options: list[str]) -> dict[str, Score]:
    """Thumbnails less their own mean, better on centred objects, and less the set's mean,
    better where colours tell; and the untrained network.
    """
    rows = thumbnails(photos)
    ways = {
        "8x8 thumbnails, each less its mean": rows - rows.mean(1, keepdims=True),
        "8x8 thumbnails, less the mean of all": rows - rows.mean(0),
    }
    scores = {name: precision_at(unit(keys), photos.labels) for name, keys in ways.items()}
    return scores | {
        "untrained": learned(home, photos, ["--init", "none", *options], "--epochs", 0)
    }


def trained(home: Path, photos: Photos, args: argparse.Namespace) -> Score:
    if args.encoder:
        return scored(home, photos, args.encoder)
    time = f"{args.minutes * 60:.0f}s"
    seeds = range(args.runs)
    options = ["--init", args.init, *args.train]
    scores = [learned(home, photos, options, "--for", time, "--seed", s) for s in seeds]
    return {k: middle(score[k] for score in scores) for k in scores[0]}


def learned(home: Path, photos: Photos, options: list[str], *length: str | int) -> Score:
    """Train on the photos of the set and score what came out."""
    say(f"{photos.name}: train {' '.join(map(str, length))}")
    encoder = Path(mkdtemp(dir=home)) / "encoder"
    mocosearch("train", photos.folder, "--name", encoder, *length, *options)
    return scored(home, photos, str(encoder))


def as_it_comes(photos: Photos) -> Score:
    """The starter's keys without an index, which would fit its whitening on the photos."""
    encoder, rows = Encoder.open(STARTER), []
    for first in range(0, len(photos.links), AT_ONCE):
        files = photos.links[first : first + AT_ONCE]
        pixels = [decode(file.read_bytes(), encoder.side).pixels for file in files]
        rows.append(encoder.encode(np.stack(pixels)))
    return precision_at(np.concatenate(rows), photos.labels)


def scored(home: Path, photos: Photos, encoder: str) -> Score:
    index = Path(mkdtemp(dir=home)) / "index"
    mocosearch("index", photos.folder, "--index", index, "--encoder", encoder)
    return precision_at(keys_of(index, photos.links), photos.labels)


def keys_of(index: Path, paths: list[Path]) -> Keys:
    """The keys that the index stores, in the order of the paths."""
    with Index.open(index) as opened:
        return unit(opened.keys([id_of(opened, path) for path in paths]))


def id_of(index: Index, path: Path) -> int:
    entry = index.entry(str(path))
    assert entry is not None, f"{path.resolve()} has no key in the index"
    return entry.id


if __name__ == "__main__":
    main()
