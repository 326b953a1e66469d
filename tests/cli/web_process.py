"""`mocosearch serve` as a process, for tests of it from outside."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from program import PROGRAM, environment


@dataclass
class Process:
    """A server, its address and its token."""

    process: subprocess.Popen[str]
    line: str
    host: str
    port: int
    token: str

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of an answer; a body that is not bytes is sent as JSON."""
        connection = HTTPConnection(self.host, self.port, timeout=60)
        try:
            response = self.begin(connection, method, path, body, headers)
            return response.status, response.read()
        finally:
            connection.close()

    def begin(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        """The answer on a connection, before its body."""
        all_headers = {"authorization": f"Bearer {self.token}", **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body, all_headers["content-type"] = json.dumps(body).encode(), "application/json"
        connection.request(method, path, body, all_headers)
        return connection.getresponse()

    def json(self, path: str) -> Any:
        """The JSON of an answer that must be one."""
        status, body = self.request("GET", path)
        assert status == 200, body
        return json.loads(body)

    def raw(self) -> socket.socket:
        """A connection on which nothing has been sent."""
        return socket.create_connection((self.host, self.port), timeout=60)


@contextmanager
def serving(index: Path, *words: object) -> Iterator[Process]:
    """A server of an index on a free port."""
    line = ["serve", "--index", index, "--port", 0, "--no-browser", *words]
    process = subprocess.Popen(
        [str(PROGRAM), *map(str, line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(index.parent),
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().rstrip("\n")
        if not address:
            raise AssertionError(process.communicate()[1])
        host, _, port = address.partition("://")[2].partition("/")[0].rpartition(":")
        token = address.partition("token=")[2]
        yield Process(process, address, host.strip("[]"), int(port), token)
    finally:
        process.kill()
        process.communicate()
