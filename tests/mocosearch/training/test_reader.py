import numpy as np
import torch

from mocosearch.training.reader import Reader


def test_photos_that_are_read_ahead_are_those_that_are_asked_for() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    reader = Reader(pixels, torch.device("cpu"))
    rows, others = torch.tensor([5, 2, 2]), torch.tensor([0, 8])
    reader.read_ahead(rows)
    assert reader.read(others).tolist() == pixels[[0, 8]].tolist()
    reader.read_ahead(rows)
    for _ in range(2):
        assert reader.read(rows).tolist() == pixels[[5, 2, 2]].tolist()
