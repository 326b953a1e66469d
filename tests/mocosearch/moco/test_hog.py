"""The histogram of gradients on pictures with known edges."""

import numpy as np
import pytest
import torch

from mocosearch.moco.hog import BINS, GRID, hog


def waves(turn: float, side: int = 80) -> torch.Tensor:
    """Stripes with a gradient at `turn` times 180 degrees: (1, 3, side, side)."""
    y, x = np.mgrid[:side, :side] / side
    along = x * np.cos(np.pi * turn) + y * np.sin(np.pi * turn)
    grey = 0.5 + 0.4 * np.sin(2 * np.pi * 6 * along)
    return torch.from_numpy(grey).float().expand(1, 3, side, side)


def bins_of(picture: torch.Tensor) -> torch.Tensor:
    return hog(picture).reshape(BINS, GRID, GRID).mean((1, 2))


@pytest.mark.parametrize("number", range(BINS))
def test_stripes_fill_the_bin_of_their_direction(number: int) -> None:
    assert int(bins_of(waves(number / BINS)).argmax()) == number


def test_shape_and_values_for_flat_pictures() -> None:
    out = hog(torch.full((2, 3, 80, 80), 0.5))
    assert out.shape == (2, BINS * GRID**2)
    assert out.abs().max() < 0.05
    assert out.isfinite().all()
    assert hog(torch.zeros(1, 3, 80, 80)).isfinite().all()


def test_nearly_invariant_to_brightness_and_contrast() -> None:
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 10, 10), 80, mode="bicubic")
    picture = picture.clamp(0, 1)
    dim = 0.2 + 0.5 * picture
    assert torch.cosine_similarity(hog(picture), hog(dim)) > 0.95
