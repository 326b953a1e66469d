"""The training loop: step, checkpoint, detect runs that fail to learn; and its followers."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from mocosearch.errors import Diverged, Unsuitable
from mocosearch.evaluation.metrics import effective_rank
from mocosearch.moco.collective import rank
from mocosearch.training import checkpoint
from mocosearch.training.figures.metrics import Metrics
from mocosearch.training.processes.group import (
    End,
    Restore,
    Start,
    Step,
    lost_processes,
    receive,
    send,
)
from mocosearch.training.schedule import Budget
from mocosearch.training.state import Training

P = ParamSpec("P")
R = TypeVar("R")
COLLAPSE_RANK = 4.0
"""Keys with a lower effective rank have collapsed; healthy runs have dozens."""
MIN_KEYS = 16
"""Fewer keys have a low rank even in a healthy run."""
MIN_GAIN = 0.05
"""A loss less than this below the chance loss shows no learning."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    stage: recipe, photos, sample (the photos for the whitening), teacher (its keys), train or
        encoder, in this order.
    done, total: photos in the stages photos, sample and teacher, otherwise fractions of the stage.
    """

    stage: str
    done: float
    total: float
    loss: float | None = None
    chance_loss: float = 0.0
    """The loss of uninformative keys; log(K + 1) with a queue."""
    images_per_second: float = 0.0
    view_recall: float | None = None
    """Share of photos retrieved by a hard view of them, measured at each checkpoint."""
    message: str = ""
    """The recipe and the reason for it, and what encoding costs; in the stage recipe alone."""


@dataclass(frozen=True)
class Run:
    """What a checkpoint stores besides the training's state, and the folder of the checkpoints."""

    folder: Path
    settings: dict[str, Any]
    start: float
    """time.monotonic() of the start, moved forward by the pauses of a resumed run."""
    train_seconds: float = 0.0
    """Seconds of training before the run was resumed."""

    def save(self, training: Training, train_seconds: float = 0.0) -> None:
        """Write a checkpoint, unless a weight is not finite."""
        if training.finite():
            state = {
                **self.settings,
                "training": training.state(),
                "steps": training.steps,
                "elapsed": time.monotonic() - self.start,
                "learned": train_seconds,
            }
            checkpoint.save(self.folder, state)

    def restore(self, training: Training) -> None:
        """Return to the last checkpoint, and go on in fp32, in all processes."""
        state = checkpoint.latest(self.folder)
        message = Restore(None if state is None else state["training"])
        send(message)
        _restore(training, message)


def learn(
    training: Training,
    budget: Budget,
    run: Run,
    metrics: Metrics,
    view_recall: Callable[[], float],
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    """Train until the budget is used up or `stopped` returns true.

    metrics: gets the figures at intervals, before each checkpoint and at the end.
    view_recall: measures the network without labels, 0..1; called at each checkpoint.

    If the loss or a weight becomes NaN or infinite, training resumes from the last checkpoint in
    fp32. Raises Diverged if that happens in fp32 too, and Unsuitable if a step does not fit into
    memory.
    """
    chance_loss = training.model.chance_loss
    recall: float | None = None
    run.save(training, budget.elapsed())
    saved_at = reported_at = time.monotonic()
    reported_steps = training.steps
    while True:
        progress = budget.progress(training.steps)
        over = progress >= 1 or stopped()
        if not over:
            send(Step(progress))
            training.losses.append(_step(training, progress))
        now = time.monotonic()
        due = now - saved_at > checkpoint.INTERVAL
        if not _finite(training, check_weights=over or due):
            _resume_in_fp32(training, run)
            metrics.rewind()
            reported_steps, reported_at = training.steps, time.monotonic()
            continue
        if over:
            break
        if now - reported_at > 0.5:
            photos = (training.steps - reported_steps) * training.recipe.batch
            rate = photos / (now - reported_at)
            report(Progress("train", progress, 1, training.losses[-1], chance_loss, rate, recall))
            reported_steps, reported_at = training.steps, now
        if due:
            # Before the checkpoint, so that a run resumed from it has the line.
            metrics.add()
            run.save(training, budget.elapsed())
            recall, saved_at = view_recall(), now
            metrics.add(recall)
        elif metrics.due():
            metrics.add()
    metrics.add()
    if stopped():
        run.save(training, budget.elapsed())


def _finite(training: Training, check_weights: bool) -> bool:
    """Whether the last loss and, if asked for, all weights are finite; weights take longer."""
    last = training.losses[-1] if training.losses else 0.0
    return math.isfinite(last) and (not check_weights or training.finite())


def _resume_in_fp32(training: Training, run: Run) -> None:
    if training.fp32:
        last = training.losses[-1] if training.losses else math.nan
        what = "a weight is not finite" if math.isfinite(last) else f"the loss is {last}"
        raise Diverged(
            f"{what} at step {training.steps}, in fp32 too",
            "train with another --seed or a smaller --batch",
        )
    run.restore(training)


def _restore(training: Training, message: Restore) -> None:
    if message.state is not None:
        training.restore(message.state)
    training.fp32 = True


def follow(device: str = "auto") -> Any:
    """Take the steps that rank 0 takes, in another process of the run; returns what rank 0 returns.

    device: as for `resolve_device`. Raises ProcessLost if rank 0 has ended without a result, and
    Unsuitable if a step does not fit into memory.
    """
    with lost_processes():
        training: Training | None = None
        while not isinstance(message := receive(), End):
            if isinstance(message, Start):
                training = message.training(device)
                continue
            assert training is not None
            if isinstance(message, Step):
                _step(training, message.progress)
            else:
                _restore(training, message)
        return message.result


def led(train: Callable[P, R]) -> Callable[P, R]:
    """`train` by rank 0, whom all other processes that call it follow; all return its result."""

    @wraps(train)
    def together(*arguments: P.args, **options: P.kwargs) -> R:
        if rank() > 0:
            result: R = follow(str(options.get("device", "auto")))
            return result
        with lost_processes():
            result = train(*arguments, **options)
            send(End(result))
        return result

    return together


def _step(training: Training, progress: float) -> float:
    """A step; returns its loss. Raises Unsuitable if it does not fit into memory."""
    with _memory_errors():
        return training.step(progress).item()


@contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # torch's CPU allocator raises a plain RuntimeError.
        phrases = ("not enough memory", "can't allocate memory")
        out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if out_of_memory or any(phrase in str(error) for phrase in phrases):
            raise Unsuitable(
                "a training step does not fit into memory",
                "train with a smaller --batch or --size",
            ) from error
        raise


def warnings(training: Training) -> list[str]:
    """Warnings, each with its figure, that the run taught the network little or nothing."""
    lines = []
    keys = training.model.recent_keys()
    if len(keys) >= MIN_KEYS and (rank := effective_rank(keys.cpu().numpy())) < COLLAPSE_RANK:
        lines.append(f"the keys have collapsed: effective rank {rank:.1f}")
    chance, losses = training.model.chance_loss, training.losses
    last = losses[-max(1, len(losses) // 10) :]
    if last and (mean := sum(last) / len(last)) > chance - MIN_GAIN:
        lines.append(f"no sign of learning: loss {mean:.2f}, chance {chance:.2f}; train for longer")
    return lines
