"""The OpenAPI document of the API, from the table of its endpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.web.api.search import FILES
from cli.web.http.endpoint import Endpoint
from cli.web.http.schema import Schema
from mocosearch import __version__

ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
    "required": ["error", "hint"],
}
REASONS = {
    400: "The request has a wrong value",
    401: "The token or the password is missing",
    403: "The request comes from another site",
    404: "There is no such thing",
    408: "The request did not arrive in time",
    409: "Another program is changing the index",
    413: "The request is too large",
    415: "The body has another type",
    421: "The server does not have that name",
    422: "The picture cannot be read",
    429: "Too many requests",
    500: "The server failed",
    501: "A package is missing",
    503: "The index cannot be read",
}
ALWAYS = (400, 401, 403, 421, 429, 500, 503)


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mocosearch", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{endpoint.path.translate(_WORDS)}",
        "parameters": [
            *_parameters(endpoint.path_values, "path"),
            *_parameters(endpoint.query, "query"),
        ],
        "responses": {
            "200": {
                "description": "The answer",
                "content": {endpoint.media: {"schema": endpoint.answer}},
            }
        },
    }
    for status in sorted({*ALWAYS, *endpoint.statuses}):
        operation["responses"][str(status)] = {
            "description": REASONS[status],
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    if endpoint.body is not None:
        content: dict[str, Any] = {"application/json": {"schema": endpoint.body}}
        if endpoint.form is not None:
            content["multipart/form-data"] = {"schema": _form(endpoint.form)}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.path == "/healthz":
        operation["security"] = []
    return operation


_WORDS = str.maketrans({"/": "_", "{": None, "}": None, "-": "_", ".": "_"})


def _parameters(schemas: Mapping[str, Schema], place: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": place, "required": place == "path", "schema": schema}
        for name, schema in schemas.items()
    ]


def _form(fields: Mapping[str, Schema]) -> dict[str, Any]:
    picture = {"type": "string", "contentMediaType": "application/octet-stream"}
    files = {name: {"type": "array", "items": picture, "maxItems": 20} for name in FILES}
    return {
        "type": "object",
        "properties": {**files, **fields},
        "additionalProperties": False,
    }
