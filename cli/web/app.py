"""The application: every endpoint as a route, behind the security layer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from cli.web.api import (
    compare,
    duplicates,
    knn_service,
    looks,
    map,
    openapi,
    page,
    photos,
    pictures,
    search,
    state,
)
from cli.web.collection import PAUSE
from cli.web.http.access import Access
from cli.web.http.endpoint import Endpoint
from cli.web.http.errors import RequestError, answer_error, answer_json
from cli.web.http.schema import from_texts
from cli.web.http.security import Security
from cli.web.service import Service
from indexes import Reader, Where
from mocosearch.errors import MocosearchError

ENDPOINTS: Sequence[Endpoint] = (
    *state.ENDPOINTS,
    *photos.ENDPOINTS,
    *pictures.ENDPOINTS,
    *search.ENDPOINTS,
    *compare.ENDPOINTS,
    *duplicates.ENDPOINTS,
    *map.ENDPOINTS,
    *looks.ENDPOINTS,
    *knn_service.ENDPOINTS,
)


def application(service: Service, access: Access) -> ASGIApp:
    """The server as an ASGI application. Closing `service` is up to the caller."""
    routes = [
        Route(one.path, partial(_handle, service, one), methods=[one.method]) for one in ENDPOINTS
    ]
    routes += [
        Route("/openapi.json", partial(_openapi, openapi.document(ENDPOINTS)), methods=["GET"]),
        Route("/", page.get_page, methods=["GET"]),
        Route("/static/{name}", page.get_static, methods=["GET"]),
    ]
    app = Starlette(
        routes=routes,
        lifespan=partial(_lifespan, service),
        exception_handlers={HTTPException: _http_error, RequestError: _error},  # type: ignore[dict-item]
    )
    app.router.redirect_slashes = False

    def count(scope: Scope, status: int, seconds: float) -> None:
        # The path of the route, not that of the request, which may be anything.
        route = scope.get("route")
        endpoint = getattr(route, "path", "other")
        service.metrics.count(endpoint, status, seconds)

    return Security(app, access, count)


async def _handle(service: Service, endpoint: Endpoint, request: Request) -> Response:
    """Check the parameters of a request, and answer it."""
    try:
        values = from_texts(request.query_params.multi_items(), endpoint.query)
        values |= _path_values(endpoint, request)
        return await endpoint.handler(service, request, values)
    except Exception as error:
        return answer_error(error)


def _path_values(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    try:
        return from_texts(list(request.path_params.items()), endpoint.path_values)
    except RequestError as error:
        raise RequestError(404, f"there is no {request.url.path}", error.what) from error


async def _openapi(document: Any, request: Request) -> Response:
    return answer_json(document)


@asynccontextmanager
async def _lifespan(service: Service, app: Starlette) -> AsyncIterator[None]:
    """Load what the first search needs, and follow the index while the server runs."""
    starting = asyncio.create_task(service.in_thread(service.decoders.start))
    await service.collection.read(_prepare)
    following = asyncio.create_task(_follow(service))
    try:
        yield
    finally:
        service.events.close()
        following.cancel()
        starting.cancel()


def _prepare(index: Reader) -> None:
    """Open the index and its encoder, which the first search would wait for. Where that is not
    possible, the first search says why.
    """
    with suppress(MocosearchError):
        index.prepare()
        if len(index):
            key = index.keys(index.among(Where())[:1])
            index.answer(index.question(key), 1)
        index.encoder.prepare().result()


async def _follow(service: Service) -> None:
    while True:
        await service.follow()
        await asyncio.sleep(PAUSE)


async def _error(request: Request, error: Exception) -> Response:
    return answer_error(error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        return answer_error(
            RequestError(405, f"{request.method} is not for {request.url.path}", "", error.headers)
        )
    return answer_error(RequestError(error.status_code, f"there is no {request.url.path}"))
