"""Is a minute of training here worth more than a minute of lightly's?

Baseline: plain_lightly.py, lightly's own MoCo v2 example with the same network, view size,
photos and minutes, both from nothing. Speed is photos a second of the steady part of a run.
Retrieval is leave-one-out P@1 and P@10 on both labelled sets: its network read with its usual
pooled features, and with our descriptor.
Bar: 3 times the baseline's photos a second.

With --lightly-train also the command of LightlyTrain (plain_lightly_train.py), for so many minutes;
its networks are those of torchvision, so ours is trained with a ResNet-18, too.

    uv pip install --no-deps --target WHERE lightly lightning-utilities hydra-core omegaconf tqdm
    python -m benchmarks.peers_train --lightly WHERE [--minutes 20]

    uv pip install --target OTHER --override search-only.txt lightly-train
    python -m benchmarks.peers_train --lightly WHERE --lightly-train OTHER --minutes 20
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.measure import (
    alternating,
    arguments,
    conclude,
    jpegs,
    linked,
    middle,
    ranged,
    script,
    table,
    temporary_home,
    title,
)
from benchmarks.retrieval import SETS, labelled, learned, scored
from benchmarks.train_speed import StepClock
from indexes.search.question import unit
from mocosearch.evaluation import precision_at

BAR = 3.0


def main() -> None:
    parser = arguments(__doc__, runs=3)
    parser.add_argument("--lightly", type=Path, required=True, help="the folder it is installed in")
    parser.add_argument("--lightly-train", type=Path, help="the same of LightlyTrain [not used]")
    parser.add_argument("--count", type=int, default=3000, help="photos to time with [3000]")
    parser.add_argument("--seconds", type=float, default=40.0, help="a timed run [40]")
    parser.add_argument("--minutes", type=float, help="also train so long, and search [not at all]")
    parser.add_argument("--limit", type=int, help="at most so many photos a set [all]")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.fspath(args.lightly)
    title(__doc__)
    with temporary_home() as home:
        linked(jpegs(args.photos, args.count), home / "photos")
        ways = {"mocosearch": lambda: ours(home, args), "lightly": lambda: theirs(home, args)}
        rates = alternating(ways, args.runs)
    if args.minutes:
        rows = [row for name in SETS for row in rows_of(name, args)]
        table(["photos", f"trained {args.minutes:g} minutes from nothing", "P@1", "P@10"], rows)
        print()
    heads = ["training", "photos/s: median (range)"]
    table(heads, [[name, ranged(values, 1)] for name, values in rates.items()])
    ratio = middle(rates["mocosearch"]) / middle(rates["lightly"])
    conclude(BAR, ratio, what="photos a second over lightly's")


def ours(home: Path, args: argparse.Namespace) -> float:
    from mocosearch import train
    from mocosearch.training.recipes import SMALL

    clock = StepClock(8.0, args.seconds - 8.0)
    callbacks = {"report": clock.report, "stopped": clock.stopped}
    recipe = replace(SMALL, epochs=10**6)
    train([home / "photos"], home / "encoder", recipe=recipe, init="none", **callbacks)
    return SMALL.batch * clock.steps_per_second()


def theirs(home: Path, args: argparse.Namespace) -> float:
    told = script("plain_lightly.py", home / "photos", "--seconds", args.seconds).json()
    return told["images"] / told["seconds"]


def rows_of(name: str, args: argparse.Namespace) -> list[list[str]]:
    """Rows of one set: ours, theirs as it is usually read, theirs with our descriptor."""
    seconds = args.minutes * 60
    with temporary_home() as home:
        photos = labelled(args.photos, name, home, args.limit)
        out = home / "lightly"
        script("plain_lightly.py", photos.folder, "--seconds", seconds, "--out", out)
        pooled = precision_at(unit(np.load(out / "pooled.npy")), photos.labels)
        described = scored(home, photos, str(out / "encoder"))
        mine = learned(home, photos, ["--init", "none"], "--for", f"{seconds:.0f}s")
    scores = {
        "mocosearch": mine,
        "lightly, last layer averaged": pooled,
        "lightly, our descriptor": described,
    }
    if args.lightly_train:
        scores |= scores_of_resnet18(name, args)
    return [[name, how, f"{s[1]:.3f}", f"{s[10]:.3f}"] for how, s in scores.items()]


def scores_of_resnet18(name: str, args: argparse.Namespace) -> dict[str, dict[int, float]]:
    """LightlyTrain's ResNet-18 with its own features and ours, and a ResNet-18 of ours."""
    seconds = args.minutes * 60
    with temporary_home() as home:
        photos = labelled(args.photos, name, home, args.limit)
        out = home / "lightly-train"
        words = ["--packages", args.lightly_train, "--seconds", seconds, "--out", out]
        script("plain_lightly_train.py", photos.folder, *words)
        pooled = precision_at(unit(np.load(out / "pooled.npy")), photos.labels)
        described = scored(home, photos, str(out / "encoder"))
        options = ["--init", "none", "--arch", "resnet18"]
        mine = learned(home, photos, options, "--for", f"{seconds:.0f}s")
    return {
        "mocosearch, ResNet-18": mine,
        "LightlyTrain, ResNet-18, its embeddings": pooled,
        "LightlyTrain, ResNet-18, our descriptor": described,
    }


if __name__ == "__main__":
    main()
