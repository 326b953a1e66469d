"""The API is as its OpenAPI document says: schemathesis sends right and wrong requests to it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from web_server import Server, start

from cli.web.app import ENDPOINTS

EXCLUDED = [
    # A value can be well formed and wrong all the same, such as a day that does not exist.
    checks.positive_data_acceptance,
    # test_security has these; the checks leave out the Host header too.
    checks.ignored_auth,
    checks.missing_required_header,
]
ENDLESS = "/v1/events"
SLOW = "/v1/duplicates/ignore"
"""Starts a process for each request."""
CASES = [
    (one.path, mode)
    for one in ENDPOINTS
    for mode in GenerationMode
    if one.path != ENDLESS
    # A request without parameters cannot be wrong.
    and (mode == GenerationMode.POSITIVE or one.query or one.path_values or one.body)
]


@pytest.fixture(scope="module")
def own(web_index: Path, web_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server whose index is changed."""
    folder = shutil.copytree(web_index, tmp_path_factory.mktemp("web") / "index")
    yield from start(folder, web_photos)


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_every_answer_is_documented(own: Server, path: str, mode: GenerationMode) -> None:
    headers = {"authorization": f"Bearer {own.access.token}", "host": "127.0.0.1:8420"}
    app = own.client.app
    api = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers).include(path=path)
    for operation in (one.ok() for one in api.get_all_operations()):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=3 if path == SLOW else 10,
            deadline=None,
            # The same requests each time: what breaks the schema may get lost in the URL.
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, excluded_checks=EXCLUDED)

        check()
