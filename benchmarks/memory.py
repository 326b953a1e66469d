"""How much memory do training and indexing need?

Baseline: a process that only runs `import torch, torchvision.models`.
Bars: under 3 GB each for all processes together: `train` for 60 s on 3,929 photos, `train
--epochs 0` of a ResNet-50 at 224 pixels, which encodes at 560, on 300 photos, and `index` of 9,144
photos. `index` runs with an encoder of these photos, and with the starter, whose whitening it fits.
9,144 photos need at most a quarter more memory than 1,000, with either encoder.

Largest process: the peak resident size of the largest single process, as the system reports it.
All processes: the largest sum of resident sizes over the process tree, sampled every 20 ms. Pages
that processes share count in each of them, so no sample is too low.

    python -m benchmarks.memory
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measure import (
    TORCH_IMPORT,
    Run,
    alternating,
    arguments,
    conclude,
    linked,
    middle,
    mocosearch,
    needed,
    spread,
    table,
    temporary_home,
    title,
    untrained,
    whole_process,
)

GB = 1e9
BAR = 3.0
GROWTH = 1.25
MANY, FEW = "index, all photos", "index, 1,000 photos"
BASELINE = "import torch, torchvision.models"


@dataclass
class Tree:
    """The largest sum of resident bytes over a process and its descendants, and their number."""

    peak: int = 0
    processes: int = 0

    def __call__(self, pid: int) -> None:
        try:
            top = psutil.Process(pid)
            family = [top, *top.children(recursive=True)]
        except psutil.Error:
            return
        sizes = [size for process in family if (size := resident(process))]
        self.peak = max(self.peak, sum(sizes))
        self.processes = max(self.processes, len(sizes))


def main() -> None:
    parser = arguments(__doc__, runs=3)
    parser.add_argument("--seconds", type=int, default=60, help="seconds of training [60]")
    parser.add_argument("--count", type=int, help="the most photos for each command [all]")
    args = parser.parse_args()
    train_on = manifest(args.photos, args.count)
    index_of = sorted(needed(args.photos / "caltech101").rglob("*.jpg"))
    index_of = spread(index_of, args.count or len(index_of))
    few = spread(index_of, 1000)
    title(__doc__)
    with temporary_home() as home:
        encoder = untrained(home, train_on[:300])
        linked(index_of, home / "index-of")
        linked(few, home / "few")
        ways = {
            f"train, {len(train_on)} photos": lambda: train(train_on, args.seconds),
            "train --epochs 0, ResNet-50 at 224, 300 photos": lambda: large_network(train_on[:300]),
            MANY: lambda: index(home / "index-of", encoder),
            FEW: lambda: index(home / "few", encoder),
            f"{MANY}, the starter": lambda: index(home / "index-of", "starter"),
            f"{FEW}, the starter": lambda: index(home / "few", "starter"),
            BASELINE: lambda: measure_memory(
                lambda tree: whole_process(TORCH_IMPORT, meanwhile=tree)
            ),
        }
        results = alternating(ways, args.runs)
    for end in ("", ", the starter"):
        many, less = (middle(t.peak for _, t in results[name + end]) for name in (MANY, FEW))
        conclude(GROWTH, many / less, what=f"index of many over 1,000{end}", most=True)
    conclude(BAR, report(results), what="largest sum", unit=" GB", most=True)


def manifest(photos: Path, count: int | None) -> list[Path]:
    lines = needed(photos / "caltech101_max40.tsv").read_text().splitlines()
    files = [photos / line.split("\t")[0] for line in lines]
    return spread(files, count or len(files))


def train(files: list[Path], seconds: int) -> tuple[Run, Tree]:
    """Train in a new home, so that decoding is part of every run."""
    with temporary_home() as home:
        linked(files, home / "photos")
        words = ("train", home / "photos", "--name", home / "encoder", "--for", f"{seconds}s")
        return measure_memory(lambda tree: mocosearch(*words, meanwhile=tree))


def large_network(files: list[Path]) -> tuple[Run, Tree]:
    with temporary_home() as home:
        linked(files, home / "photos")
        words = ("train", home / "photos", "--name", home / "encoder", "--epochs", "0")
        options = ("--arch", "resnet50", "--size", "224")
        return measure_memory(lambda tree: mocosearch(*words, *options, meanwhile=tree))


def index(photos: Path, encoder: Path | str) -> tuple[Run, Tree]:
    with temporary_home() as home:
        words = ("index", photos, "--index", home / "index", "--encoder", encoder)
        return measure_memory(lambda tree: mocosearch(*words, meanwhile=tree))


def measure_memory(way: Callable[[Tree], Run]) -> tuple[Run, Tree]:
    tree = Tree()
    return way(tree), tree


def resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0  # It has ended.


def report(results: dict[str, list[tuple[Run, Tree]]]) -> float:
    """Print the table; returns the largest sum of the commands of mocosearch, in GB."""
    base = middle(run.peak for run, _ in results[BASELINE])
    rows = []
    for name, pairs in results.items():
        single = middle(run.peak for run, _ in pairs)
        trees = [tree.peak for _, tree in pairs]
        processes = max(tree.processes for _, tree in pairs)
        seconds = middle(run.seconds for run, _ in pairs)
        figures = [f"{single / GB:.2f}", f"{middle(trees) / GB:.2f}", f"{max(trees) / GB:.2f}"]
        rows.append([name, *figures, str(processes), f"{single / base:.2f}x", f"{seconds:.0f}"])
    heads = ["command", "largest process, GB", "all processes, GB", "worst run, GB", "processes"]
    table([*heads, "largest / baseline", "s"], rows)
    ours = [tree.peak for name, pairs in results.items() if name != BASELINE for _, tree in pairs]
    return max(ours) / GB


if __name__ == "__main__":
    main()
