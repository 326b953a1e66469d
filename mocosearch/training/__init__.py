"""A training run: plan, recipe, loop, checkpoints, model selection, report."""
