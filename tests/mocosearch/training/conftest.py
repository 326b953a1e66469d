"""Runs that do not take seconds to export their encoder."""

from typing import Any

import light
import numpy as np
import pytest

from mocosearch.encoder import export
from mocosearch.moco.backbones import Backbone
from mocosearch.training.selection import ViewRetrieval


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
