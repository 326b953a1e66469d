"""Do the photos that `pick` picks stand for a collection? Classes covered, and time at 100,000.

    python -m benchmarks.pick [--count 50] [--scale 100000]

`mocosearch pick 50` on Caltech-101 with the encoder that comes with mocosearch, in an index that
the real command makes. Labels are used for scoring only. Baseline: the mean of 1,000 random draws
of as many photos. Bar: 1.3 times as many classes. Then `Index.pick` on synthetic keys
(benchmarks/keys.py), for its time.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.keys import create_index
from benchmarks.measure import (
    arguments,
    conclude,
    mocosearch,
    needed,
    say,
    table,
    temporary_home,
    title,
)
from indexes import Index, Where

BAR = 1.3
MOST_SECONDS = 10.0
DRAWS = 1000
DIMENSION = 256


def main() -> None:
    """Print the classes that are covered, the times and the conclusions."""
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--count", type=int, default=50, help="photos to pick [50]")
    parser.add_argument("--scale", type=int, default=100_000, help="synthetic keys [100000]")
    parser.add_argument("--index", help="an index of those photos, instead of a new one")
    args = parser.parse_args()
    photos = needed(args.photos / "caltech101")
    title(__doc__)
    picked, labels = covered(photos, args.count, args.index)
    chance = np.random.default_rng(0)
    draws = [len(set(chance.choice(labels, args.count, replace=False))) for _ in range(DRAWS)]
    random = float(np.mean(draws))
    heads = ["photos", "classes", f"classes of {args.count} picked", "of as many random ones"]
    row = [f"{len(labels)}", f"{len(set(labels))}", f"{picked}", f"{random:.1f}"]
    table(heads, [row])
    slowest = times(args.scale, args.count)
    what = f"{args.scale} photos: the longest time of pick {args.count} and pick --odd"
    conclude(MOST_SECONDS, slowest, what=what, unit=" s", most=True)
    conclude(BAR, picked / random, what="classes of the picked photos over those of random ones")


def covered(photos: Path, count: int, index: str | None) -> tuple[int, list[str]]:
    """How many classes the picked photos have, and the class of every photo of the index."""
    with temporary_home():
        if index is None:
            say("indexing")
            mocosearch("index", photos)
        name = index or "default"
        results = mocosearch("pick", count, "--index", name, "--json").json()["results"]
        with Index.open(name) as opened:
            records = [opened.record(int(id)) for id in opened.among(Where())]
    classes = {Path(result["path"]).parent.name for result in results}
    return len(classes), [Path(record.paths[0]).parent.name for record in records]


def times(scale: int, count: int) -> float:
    """The seconds of the slower of both ways to pick among synthetic keys."""
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        say(f"{scale} synthetic keys")
        with create_index(Path(folder) / "index", scale, DIMENSION) as index:
            index.refresh()
            seconds = []
            for odd in (False, True):
                begun = time.perf_counter()
                index.pick(count, odd=odd)
                seconds.append(time.perf_counter() - begun)
    print(f"\n{scale} keys: pick {count} takes {seconds[0]:.1f} s, --odd {seconds[1]:.1f} s")
    return max(seconds)


if __name__ == "__main__":
    main()
