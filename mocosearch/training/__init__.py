"""A training run: plan, recipe, loop, checkpoints, model selection, report."""

from mocosearch.requirements import require_torch

require_torch()
