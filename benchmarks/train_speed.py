"""How many photos a second does training learn from?

Baseline: plain_train.py, MoCo v2 as in the authors' code: PIL transforms in two loader
processes, fp32, contiguous memory. Both sides: the same network, head, optimiser (SGD), view
size, batch, queue and direction of the loss; steady state, without start-up and without
decoding into our cache. A photo counts once a step, whatever the number of its views.
Bar: 2 times the baseline, with a one-directional and with a symmetric loss. Beside it, without
a bar: `small` with its own head and Muon, which costs time a step and saves most of the steps,
and how much of the processor a step uses: multiplications and additions of convolutions and
matrices, each counted, both directions and the optimiser's own. Also as a share of the rate that
the step's convolutions reach alone, one after another, each with its batch. Bars for the lower
share: .6 on a processor with AMX, .8 on others.

    python -m benchmarks.train_speed
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from mocosearch.training.loop import Progress
    from mocosearch.training.recipes import Recipe

BAR = 2.0
K = 1024
LEAST_STEPS = 5
LOSSES = {"one-directional": False, "symmetric": True}
PLAIN = {"optimizer": "sgd", "levels": False}
"""What `small` has in common with the baseline, in place of its own."""
AS_SHIPPED = "small as it is, symmetric"


@dataclass
class StepClock:
    """Times the steps of a run through its callbacks, and ends it.

    It starts with the first report of a loss; `stopped` is asked once before each step then,
    and again after the last one, which is no step and is left out.
    """

    warm_up: float
    seconds: float
    times: list[float] = field(default_factory=list)
    over: bool = False

    def report(self, progress: "Progress") -> None:
        if progress.loss is not None and not self.times:
            self.times.append(time.perf_counter())

    def stopped(self) -> bool:
        if self.times and not self.over:
            self.times.append(time.perf_counter())
            late = self.times[-1] - self.times[0] > self.warm_up + self.seconds
            self.over = late and len(self.steady()) > LEAST_STEPS
        return self.over

    def steps_per_second(self) -> float:
        """Of the steps after the warm-up."""
        steady = self.steady()
        return (len(steady) - 1) / (steady[-1] - steady[0])

    def steady(self) -> list[float]:
        """When each step after the warm-up began, and when the last one ended."""
        return [t for t in self.times if t - self.times[0] > self.warm_up]


def main() -> None:
    parser = arguments(__doc__, runs=3)
    parser.add_argument("--count", type=int, default=3000, help="photos to train on [3000]")
    parser.add_argument("--arch", default="resnet18", help="one of torchvision's [resnet18]")
    parser.add_argument("--size", type=int, default=64, help="pixels of a view [64]")
    parser.add_argument("--batch", type=int, default=128, help="photos a step [128]")
    parser.add_argument("--warm-up", type=float, default=8.0, help="seconds left out [8]")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds measured [30]")
    args = parser.parse_args()
    files = jpegs(args.photos, args.count)
    title(__doc__)
    with temporary_home() as home:
        linked(files, home / "photos")
        results = alternating(ways(home, args), args.runs)
    ratio, share = report(results, args)
    conclude(BAR, ratio, what="train, images a second, the lower of both losses")
    conclude(share_bar(), share, what="a step, of its convolutions alone, the lowest share")


def share_bar() -> float:
    return 0.6 if "amx_bf16" in Path("/proc/cpuinfo").read_text() else 0.8


def ways(home: Path, args: argparse.Namespace) -> dict[str, Callable[[], float]]:
    found: dict[str, Callable[[], float]] = {}
    for loss, symmetric in LOSSES.items():
        found[f"mocosearch, {loss}"] = partial(ours, home, args, symmetric=symmetric, **PLAIN)
        found[f"plain, {loss}"] = partial(plain, home, args, symmetric)
    return found | {AS_SHIPPED: partial(ours, home, args)}


def recipe_of(args: argparse.Namespace, **changes: object) -> "Recipe":
    from mocosearch.training.recipes import SMALL

    return replace(
        SMALL,
        architecture=args.arch,
        size=args.size,
        cache_side=SMALL.cache_side * args.size // SMALL.size,
        encode_side=args.size,
        batch=args.batch,
        K=K,
        **changes,
    )


def limits(recipe: "Recipe") -> tuple[float, float]:
    """Operations of a step for each photo of the batch, and the operations per second that the
    step's convolutions reach alone.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.convolutions import rate_alone
    from mocosearch.moco.backbones import Backbone
    from mocosearch.training.state import Training

    side = recipe.cache_side
    pixels = np.zeros((recipe.batch, side, side, 3), np.uint8)
    training = Training(Backbone(recipe.architecture), pixels, recipe, seed=0)
    with FlopCounterMode(display=False) as counter:
        training.step(0.5)
    return counter.get_total_flops() / recipe.batch, rate_alone(training)


def ours(home: Path, args: argparse.Namespace, **changes: object) -> float:
    """Images a second of the real training function, in this process."""
    from mocosearch import train

    recipe = recipe_of(args, **changes)
    clock = StepClock(args.warm_up, args.seconds)
    callbacks = {"report": clock.report, "stopped": clock.stopped}
    trained = train([home / "photos"], home / "encoder", recipe=recipe, **callbacks)
    used = trained.card.recipe
    assert (used["batch"], used["K"]) == (args.batch, K), "too few photos for this batch and K"
    return args.batch * clock.steps_per_second()


def plain(home: Path, args: argparse.Namespace, symmetric: bool) -> float:
    """Images a second of the baseline, in a process of its own."""
    options = ["--arch", args.arch, "--size", args.size, "--batch", args.batch, "--K", K]
    options += ["--warm-up", args.warm_up, "--seconds", args.seconds]
    options += ["--symmetric"] if symmetric else []
    told = script("plain_train.py", home / "photos", *options).json()
    return told["images"] / told["seconds"]


def report(results: dict[str, list[float]], args: argparse.Namespace) -> tuple[float, float]:
    """Print the table; returns the lower ratio, and the lowest share."""
    rows, ratios, shares = [], [], []

    def row(name: str, mine: list[float], recipe: "Recipe", theirs: list[float]) -> list[str]:
        work, alone = limits(recipe)
        rate = work * middle(mine)
        shares.append(rate / alone)
        rates = [f"{rate / 1e9:.0f}", f"{alone / 1e9:.0f}", f"{shares[-1]:.2f}"]
        ratio = f"{middle(mine) / middle(theirs):.2f}x"
        return [name, ranged(mine, 1), *rates, ranged(theirs, 1), ratio]

    for loss, symmetric in LOSSES.items():
        mine, theirs = results[f"mocosearch, {loss}"], results[f"plain, {loss}"]
        ratios.append(middle(mine) / middle(theirs))
        rows.append(row(loss, mine, recipe_of(args, symmetric=symmetric, **PLAIN), theirs))
    shipped = results[AS_SHIPPED]
    rows.append(row(AS_SHIPPED, shipped, recipe_of(args), results["plain, symmetric"]))
    heads = ["loss", "mocosearch images/s: median (range)", "GFLOP/s", "its convolutions alone"]
    table([*heads, "share", "plain images/s", "ratio"], rows)
    return min(ratios), min(shares)


if __name__ == "__main__":
    main()
