"""Step until the time or the passes are spent, keep what is good, and notice what is not."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mocosearch.errors import Diverged, Unsuitable
from mocosearch.evaluation import effective_rank
from mocosearch.training import checkpoint
from mocosearch.training.schedule import Budget
from mocosearch.training.state import Training

COLLAPSED_RANK = 4.0
"""Directions that keys use when they hardly differ any more; healthy runs use dozens."""
FEWEST_KEYS = 16
"""Fewer keys span few directions even in a healthy run."""
LEARNED = 0.05
"""A loss that fell less than this below the loss of chance has taught nothing."""


@dataclass(frozen=True)
class Progress:
    """Where a run is. `stage` is one of recipe, photos, sample (for the whitening), teacher (its
    keys), train, encoder; `done` and `total` count photos in photos, sample and teacher, and are
    shares of the run elsewhere.
    """

    stage: str
    done: float
    total: float
    loss: float | None = None
    loss_of_chance: float = 0.0
    """log(K + 1), the loss of keys that tell nothing."""
    images_per_second: float = 0.0
    found_again: float | None = None
    """Share of photos that a hard view finds among others, measured now and then."""
    words: str = ""
    """Which recipe was chosen and why, said once at the start."""


@dataclass(frozen=True)
class Run:
    """What a checkpoint holds besides the training's own state, and where it lies."""

    states: Path
    settings: dict[str, Any]
    begun: float
    """time.monotonic() at which the run would have begun had it never paused."""
    learned: float = 0.0
    """Seconds that it had learned before it paused."""

    def save(self, training: Training, learned: float = 0.0) -> None:
        """Unless the weights are spoilt, which no later step would mend."""
        if training.finite():
            state = {
                **self.settings,
                "training": training.state(),
                "steps": training.steps,
                "elapsed": time.monotonic() - self.begun,
                "learned": learned,
            }
            checkpoint.save(self.states, state)

    def back(self, training: Training) -> None:
        """To the last good checkpoint."""
        state = checkpoint.latest(self.states)
        if state is not None:
            training.restore(state["training"])


def learn(
    training: Training,
    budget: Budget,
    run: Run,
    judge: Callable[[], float],
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    """Step until the budget is spent or someone stops it; the losses stand in `training`.

    judge: how good the network is, without labels; asked at each checkpoint.

    A loss or weight that is not finite takes the run back to its last checkpoint, once, and on
    in fp32. Raises Diverged where that does not help either, and Unsuitable where a step does
    not fit into memory.
    """
    chance = training.model.loss_of_chance
    found: float | None = None
    run.save(training, budget.spent())
    saved_at = ticked_at = time.monotonic()
    ticked = training.steps
    while True:
        progress = budget.progress(training.steps)
        over = progress >= 1 or stopped()
        if not over:
            with _in_memory():
                training.losses.append(training.step(progress).item())
        now = time.monotonic()
        due = now - saved_at > checkpoint.SECONDS
        if not _sound(training, thoroughly=over or due):
            _go_back(training, run)
            ticked, ticked_at = training.steps, time.monotonic()
            continue
        if over:
            break
        if now - ticked_at > 0.5:
            rate = (training.steps - ticked) * training.recipe.batch / (now - ticked_at)
            report(Progress("train", progress, 1, training.losses[-1], chance, rate, found))
            ticked, ticked_at = training.steps, now
        if due:
            run.save(training, budget.spent())
            found, saved_at = judge(), now
    if stopped():
        run.save(training, budget.spent())


def _sound(training: Training, thoroughly: bool) -> bool:
    """Whether the numbers are finite: the loss, and the weights, which take time to look at."""
    last = training.losses[-1] if training.losses else 0.0
    return math.isfinite(last) and (not thoroughly or training.finite())


def _go_back(training: Training, run: Run) -> None:
    if training.fp32:
        last = training.losses[-1] if training.losses else math.nan
        what = "a weight is no number" if math.isfinite(last) else f"the loss is {last}"
        raise Diverged(
            f"{what} at step {training.steps}, in fp32 too",
            "train with another --seed or a smaller --batch",
        )
    run.back(training)
    training.fp32 = True


@contextmanager
def _in_memory() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # The processor's allocator has no error of its own.
        short = ("not enough memory", "can't allocate memory")
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if known or any(words in str(error) for words in short):
            raise Unsuitable(
                "a step does not fit into memory", "train with a smaller --batch or --size"
            ) from error
        raise


def warnings(training: Training) -> list[str]:
    """Signs, each with its number, that a run has taught the network little or nothing."""
    said = []
    keys = training.model.recent_keys()
    if len(keys) >= FEWEST_KEYS and (rank := effective_rank(keys.cpu().numpy())) < COLLAPSED_RANK:
        said.append(f"the keys have collapsed: they use {rank:.1f} directions")
    chance, losses = training.model.loss_of_chance, training.losses
    last = losses[-max(1, len(losses) // 10) :]
    if last and (mean := sum(last) / len(last)) > chance - LEARNED:
        said.append(f"no sign of learning: loss {mean:.2f}, chance {chance:.2f}; train for longer")
    return said
