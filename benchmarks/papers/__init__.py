"""The MoCo papers' measurements at a size that fits a CPU."""
