"""The MoCo papers: views, networks, losses, optimizers and the descriptor."""

from mocosearch.requirements import require_torch

require_torch()
