"""Progress of a run by steps or by the clock; learning rate and momentum as functions of it."""

import math
import time
from dataclasses import dataclass

from mocosearch.training.recipes import Recipe


@dataclass(frozen=True)
class Budget:
    """When a run ends: after `steps`, or `seconds` after `start`; `seconds` takes precedence.

    start: time.monotonic() of the first step, moved forward by the pauses of a resumed run.
    """

    steps: int | None
    seconds: float | None
    start: float

    def elapsed(self) -> float:
        """Seconds since the first step, without pauses."""
        return time.monotonic() - self.start

    def progress(self, step: int) -> float:
        """The completed fraction of the run, 0..1."""
        if self.seconds is not None:
            return min(1.0, self.elapsed() / self.seconds) if self.seconds > 0 else 1.0
        assert self.steps is not None
        return min(1.0, step / max(self.steps, 1))


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then half a cosine (SGDR, arXiv:1608.03983) or MoCo v1's two steps."""
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    if recipe.cosine:
        decay = (progress - recipe.warmup) / (1 - recipe.warmup)
        return recipe.lr * (1 + math.cos(math.pi * decay)) / 2
    return recipe.lr * 0.1 ** ((progress >= 0.6) + (progress >= 0.8))


def momentum(recipe: Recipe, progress: float) -> float:
    """From m to m_end along half a cosine (MoCo v3, arXiv:2104.02057, section 4.1)."""
    return recipe.m_end - (recipe.m_end - recipe.m) * (1 + math.cos(math.pi * progress)) / 2
