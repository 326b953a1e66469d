"""View retrieval: how well a network retrieves photos, without labels."""

import numpy as np
import pytest
import torch

from mocosearch.moco.backbones import Backbone
from mocosearch.training.selection import view_retrieval


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("resnet10")


def pictures(n: int) -> np.ndarray:
    """Smooth pictures of different colours."""
    torch.manual_seed(1)
    small = torch.rand(n, 3, 4, 4)
    large = torch.nn.functional.interpolate(small, 48, mode="bicubic").clamp(0, 1)
    return (large * 255).byte().permute(0, 2, 3, 1).numpy()


def test_recall_is_a_share_and_reproducible(backbone: Backbone) -> None:
    photos = pictures(30)
    first = view_retrieval(backbone, photos)
    assert 1 / 30 < first.recall <= 1
    assert first.keys.shape[0] == 30
    assert np.allclose(np.linalg.norm(first.keys, axis=1), 1, atol=1e-5)
    assert view_retrieval(backbone, photos).recall == first.recall


def test_recall_of_identical_pictures_is_low(backbone: Backbone) -> None:
    photos = np.repeat(pictures(1), 30, 0)
    assert view_retrieval(backbone, photos).recall <= 0.2


def test_the_network_is_unchanged(backbone: Backbone) -> None:
    backbone.train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    view_retrieval(backbone, pictures(4))
    assert backbone.training
    assert all(torch.equal(before[n], v) for n, v in backbone.state_dict().items())
