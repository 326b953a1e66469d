"""Step until the time or the passes are spent, keep what is good, and notice what is not."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocosearch.errors import Diverged
from mocosearch.evaluation import effective_rank
from mocosearch.moco import checkpoint
from mocosearch.moco.schedule import Budget
from mocosearch.moco.training import Training

COLLAPSED_RANK = 4.0
"""Directions that keys use when they hardly differ any more; healthy runs use dozens."""
FEWEST_KEYS = 16
"""Fewer keys span few directions even in a healthy run."""
LEARNED = 0.05
"""A loss that fell less than this below the loss of chance has taught nothing."""


@dataclass(frozen=True)
class Progress:
    """Where a run is. `stage` is one of photos, train, encoder; `done` and `total` count
    photos while decoding and are shares of the run afterwards.
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


@dataclass(frozen=True)
class Run:
    """What a checkpoint holds besides the training's own state, and where it lies."""

    states: Path
    settings: dict[str, Any]
    begun: float
    """time.monotonic() at which the run would have begun had it never paused."""

    def save(self, training: Training) -> None:
        """Unless the weights are spoilt, which no later step would mend."""
        if training.finite():
            state = {
                **self.settings,
                "training": training.state(),
                "steps": training.steps,
                "elapsed": time.monotonic() - self.begun,
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
) -> list[float]:
    """Step until the budget is spent or someone stops it; returns the losses.

    judge: how good the network is, without labels; asked at each checkpoint.

    A loss that is not finite takes the run back to its last checkpoint, once, and on in fp32.
    Raises Diverged where that does not help either.
    """
    chance = training.model.loss_of_chance
    losses: list[float] = []
    found: float | None = None
    run.save(training)
    saved_at = ticked_at = time.monotonic()
    ticked = training.steps
    while (progress := budget.progress(training.steps)) < 1 and not stopped():
        loss = training.step(progress).item()
        if not math.isfinite(loss):
            if training.fp32:
                raise Diverged(
                    f"the loss is {loss} at step {training.steps}, in fp32 too",
                    "train with another --seed or a smaller --batch",
                )
            run.back(training)
            training.fp32 = True
            continue
        losses.append(loss)
        now = time.monotonic()
        if now - ticked_at > 0.5:
            rate = (training.steps - ticked) * training.recipe.batch / (now - ticked_at)
            report(Progress("train", progress, 1, loss, chance, rate, found))
            ticked, ticked_at = training.steps, now
        if now - saved_at > checkpoint.SECONDS:
            run.save(training)
            found, saved_at = judge(), now
    if stopped():
        run.save(training)
    return losses


def warnings(training: Training, losses: list[float]) -> list[str]:
    """Signs, each with its number, that a run has taught the network little or nothing."""
    said = []
    keys = training.model.recent_keys()
    if len(keys) >= FEWEST_KEYS and (rank := effective_rank(keys.cpu().numpy())) < COLLAPSED_RANK:
        said.append(f"the keys have collapsed: they use {rank:.1f} directions")
    chance, last = training.model.loss_of_chance, losses[-max(1, len(losses) // 10) :]
    if last and (mean := sum(last) / len(last)) > chance - LEARNED:
        said.append(f"no sign of learning: loss {mean:.2f}, chance {chance:.2f}; train for longer")
    return said
