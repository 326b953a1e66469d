"""A run in several processes: what torchrun tells them, and how the first leads the others."""
