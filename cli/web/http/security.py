"""The outermost layer of the server: access, errors, headers, and time limits."""

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.web.api.page import sign_in
from cli.web.http.access import Access
from cli.web.http.errors import RequestError, answer_error

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
OPEN = frozenset({"/healthz", "/static/base.css", "/static/icon.svg"})
"""Paths that need neither token nor password; they tell nothing. The style is that of `sign_in`."""
RECEIVE_SECONDS = 30.0
"""Seconds for the next piece of a request."""
SEND_SECONDS = 60.0
"""Seconds for a client to take a piece of the answer."""

Count = Callable[[Scope, int, float], None]
"""Counts a request: its scope, the status of the answer and its seconds."""


class Security:
    """Wraps an application. Every request passes it, whatever its path."""

    def __init__(self, app: ASGIApp, access: Access, count: Count) -> None:
        self.app, self.access, self.count = app, access, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or an error in its place."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There are no WebSockets; this refuses the handshake.
            await send({"type": "websocket.close", "code": 1008})
            return
        start, status = time.perf_counter(), 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message))
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        async def receive_soon() -> Message:
            # After the request, this waits for the end of the connection.
            if status:
                return await receive()
            try:
                async with asyncio.timeout(RECEIVE_SECONDS):
                    return await receive()
            except TimeoutError:
                raise RequestError(408, "the request did not arrive in time") from None

        try:
            response = await self._response(scope)
            if response is None:
                await self.app(scope, receive_soon, send_safely)
            else:
                await response(scope, receive_soon, send_safely)
        except Exception as error:
            if status:
                # The answer has begun: only closing the connection tells that it is incomplete.
                raise
            await _answer(scope, error)(scope, receive, send_safely)
        finally:
            self.count(scope, status, time.perf_counter() - start)

    async def _response(self, scope: Scope) -> Response | None:
        """What answers the request before the application does. Raises RequestError."""
        headers, path = Headers(scope=scope), scope["path"]
        self.access.check_host(headers)
        navigation = path == "/" and scope["method"] in ("GET", "HEAD")
        self.access.check_origin(headers, navigation)
        if path in OPEN:
            return None
        if navigation:
            query = QueryParams(scope["query_string"])
            if "token" in query and self.access.is_token(query["token"]):
                return self._enter()
        address = scope["client"][0] if scope.get("client") else ""
        if await self.access.admits(headers, address):
            return None
        hint = (
            "open the address that the server printed; programs send its token: see docs/serve.md"
        )
        challenge = {} if self.access.password is None else {"www-authenticate": "Basic"}
        raise RequestError(401, "this needs the server's token or password", hint, challenge)

    def _enter(self) -> Response:
        """Exchange the token for the cookie, and remove it from the address."""
        headers = {"set-cookie": self.access.set_cookie(), "cache-control": "no-store"}
        return RedirectResponse("/", 303, headers)


def _answer(scope: Scope, error: Exception) -> Response:
    """JSON, or a page for a person who opens the server's address without the token."""
    accept = Headers(scope=scope).get("accept", "")
    if isinstance(error, RequestError) and error.status == 401 and "text/html" in accept:
        return sign_in(error.headers)
    return answer_error(error)


def _add_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("cache-control", "private, no-store")
