"""The server's process: its socket, its address and its end."""

import errno
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from cli.web.http.protocol import PatientProtocol
from mocosearch.errors import MocosearchError, Unsuitable

CONNECTIONS = 500
"""At one time; systems allow a process 1,024 open files by default."""
GRACE = 0.3
"""Seconds for answers that have begun, after Ctrl-C."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM format. Raises Unsuitable where they are not a certificate and its key."""

    certificate: Path
    key: Path

    def __post_init__(self) -> None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise Unsuitable(
                f"cannot use {self.certificate} and {self.key}: {error}",
                "name a certificate and its key in PEM format",
            ) from error


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections; port 0 is any free one. Raises MocosearchError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MocosearchError(
                f"port {port} is in use", "stop the other program, or add --port 0 for a free one"
            ) from error
        if error.errno == errno.EACCES:
            raise MocosearchError(
                f"no permission for port {port}", "choose one from 1024 on with --port"
            ) from error
        raise MocosearchError(
            f"cannot listen on {host}: {error.strerror or error}",
            "name an address of this machine with --host",
        ) from error


def run(
    app: ASGIApp,
    sock: socket.socket,
    tls: Tls | None,
    begin: Callable[[], None],
    handle: Callable[[uvicorn.Server], None] = lambda server: None,
) -> None:
    """Serve until Ctrl-C, which ends it within a second.

    begin: called once it accepts requests. handle: gets the server, for programs that end it by
    its `should_exit`.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws="none",
        http=PatientProtocol,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,  # type: ignore[arg-type]
        ssl_certfile=None if tls is None else str(tls.certificate),
        ssl_keyfile=None if tls is None else str(tls.key),
    )
    server = _Server(config, begin)
    handle(server)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[sock])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, begin: Callable[[], None]) -> None:
        super().__init__(config)
        self._begin = begin

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begin()
