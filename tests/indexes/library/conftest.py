"""Ray, for the tests that need it."""

import os
import secrets
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def ray_token() -> str:
    """One token for all clusters of a process, which reads it once."""
    return secrets.token_hex(32)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, ray_token: str) -> ModuleType:
    """The module, with the settings of the program; its workers import the checkout."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_token)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), "tests/indexes"]))
    # Ray reads its settings when it is imported.
    return pytest.importorskip("ray", reason="ray is not installed: the extra cluster")
