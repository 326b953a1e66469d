"""What a run measures of itself: figures over time, a report page, TensorBoard."""
