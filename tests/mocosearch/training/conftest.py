"""Runs that do not take seconds to export their encoder."""

from collections.abc import Iterator
from typing import Any

import light
import numpy as np
import pytest
from torchvision.models.resnet import ResNet

from mocosearch.encoder import export
from mocosearch.moco.backbones import Backbone
from mocosearch.training.selection import ViewRetrieval


@pytest.fixture(scope="module", autouse=True)
def narrow_networks() -> Iterator[None]:
    """ResNets have a quarter of their channels, so that a step takes a fifth of the time."""
    make_layer = ResNet._make_layer

    def make_narrow(net: ResNet, block: Any, planes: int, *others: Any, **options: Any) -> Any:
        return make_layer(net, block, planes // 4, *others, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResNet, "_make_layer", make_narrow)
        yield


@pytest.fixture
def light_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported encoders compute random projections that depend on every weight of the network."""
    monkeypatch.setattr(export, "_graph", light.light_graph)


@pytest.fixture
def constant_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained network is always exported."""

    def view_retrieval(backbone: Backbone, photos: Any) -> ViewRetrieval:
        return ViewRetrieval(0.5, np.eye(len(photos), 8, dtype=np.float32))

    monkeypatch.setattr("mocosearch.training.run.view_retrieval", view_retrieval)
