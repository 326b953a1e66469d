"""How far a run is, by steps or by the clock, and what follows from it."""

import math
import time
from dataclasses import dataclass

from mocosearch.training.recipes import Recipe


@dataclass(frozen=True)
class Budget:
    """When a run ends: after `steps`, or when `seconds` have passed since `begun`.

    begun: time.monotonic() of the first step, had the run never paused.
    """

    steps: int | None
    seconds: float | None
    begun: float

    def spent(self) -> float:
        """Seconds since the first step, pauses left out."""
        return time.monotonic() - self.begun

    def progress(self, step: int) -> float:
        """Share of the run that is done, 0..1."""
        if self.seconds is not None:
            return min(1.0, self.spent() / self.seconds) if self.seconds > 0 else 1.0
        assert self.steps is not None
        return min(1.0, step / max(self.steps, 1))


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then half a cosine (SGDR, arXiv:1608.03983) or v1's two steps."""
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    if recipe.cosine:
        done = (progress - recipe.warmup) / (1 - recipe.warmup)
        return recipe.lr * (1 + math.cos(math.pi * done)) / 2
    return recipe.lr * 0.1 ** ((progress >= 0.6) + (progress >= 0.8))


def momentum(recipe: Recipe, progress: float) -> float:
    """From m to m_end on half a cosine (as in MoCo v3, arXiv:2104.02057, section 4.1)."""
    return recipe.m_end - (recipe.m_end - recipe.m) * (1 + math.cos(math.pi * progress)) / 2
