"""How well an encoder retrieves, with labels and without."""

from mocosearch.evaluation.metrics import (
    RankingMetrics,
    effective_rank,
    precision_at,
    ranking_metrics,
    recall_at_1,
)

__all__ = [
    "RankingMetrics",
    "effective_rank",
    "precision_at",
    "ranking_metrics",
    "recall_at_1",
]
