"""The pooling of the descriptor beside torch's own."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.moco.descriptor import gem


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 4), st.booleans())
def test_cells_are_those_of_adaptive_pooling(height, width, grid, square):
    maps = torch.rand(2, 3, height, height if square else width) + 0.1
    expected = F.adaptive_avg_pool2d(maps**3, grid) ** (1 / 3)
    assert torch.allclose(gem(maps, grid), expected.flatten(1), atol=1e-5)


def test_the_mean_is_generalised_with_power_3():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert gem(maps, 1).item() == pytest.approx(((1 + 8 + 27 + 64) / 4) ** (1 / 3))
    assert gem(-maps, 1).item() == pytest.approx(1e-6, rel=1e-3)
