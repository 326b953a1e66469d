"""Runs that do not take seconds to export their encoder."""

import light
import pytest

from mocosearch.encoder import export


@pytest.fixture
def light_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported encoders compute random projections that depend on every weight of the network."""
    monkeypatch.setattr(export, "_graph", light.light_graph)
