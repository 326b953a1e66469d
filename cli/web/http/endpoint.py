"""An endpoint: what it takes, and the function that answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cli.web.http.schema import Schema
from cli.web.service import Service

Values = Mapping[str, Any]
Handler = Callable[[Service, Request, Values], Awaitable[Response]]

ID: Schema = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}
HANDLE: Schema = {"type": "string", "pattern": "^u[0-9a-f]{16}$"}
SIDE: Schema = {"type": "integer", "minimum": 16, "maximum": 4096}
TEXT: Schema = {"type": "string", "maxLength": 4096}
FOLDERS: Schema = {"type": "array", "items": TEXT, "maxItems": 100}
FILTERS: Mapping[str, Schema] = {
    "in": FOLDERS,
    "not_in": FOLDERS,
    "taken": {"type": "string", "maxLength": 24},
    "near": {"type": "string", "maxLength": 64},
    "camera": {"type": "string", "maxLength": 200},
    "format": {"type": "string", "maxLength": 20},
    "min_side": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
}
"""The filters of `mocosearch query`, by their names without dashes."""
PAGE: Mapping[str, Schema] = {
    "offset": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
}


@dataclass(frozen=True)
class Endpoint:
    """One method of one path.

    query: the parameters after `?`. path_values: those in the path. form and body: what a request
    with a body has, as multipart fields or as JSON. media: the type of the answer; with JSON,
    `answer` is its schema. statuses: of errors, beside those of every endpoint.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    query: Mapping[str, Schema] = field(default_factory=dict)
    path_values: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    form: Mapping[str, Schema] | None = None
    media: str = "application/json"
    answer: Schema = field(default_factory=dict)
    statuses: tuple[int, ...] = ()
