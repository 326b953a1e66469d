"""Clients that hang: each limit of time, with short ones, on a real connection."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from web_server import Server

from cli.web.app import application
from cli.web.http import bodies, protocol, security
from cli.web.http.access import Access
from cli.web.server import listen, run

SHORT = 0.3
HEAD = "POST /v1/search HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"


@pytest.fixture
def address(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, str]]:
    """Port and token of a server with short limits, in a thread of this process."""
    for module, name in (
        (protocol, "IDLE"),
        (security, "RECEIVE_SECONDS"),
        (security, "SEND_SECONDS"),
        (bodies, "SECONDS"),
    ):
        monkeypatch.setattr(module, name, SHORT if name != "SECONDS" else 3 * SHORT)
    sock = listen("127.0.0.1", 0)
    access = Access.of([], sock.getsockname()[1])
    ready, servers = threading.Event(), list[object]()
    thread = threading.Thread(
        target=run,
        args=(application(own_server.service, access), sock, None, ready.set, servers.append),
    )
    thread.start()
    assert ready.wait(30)
    yield access.port, access.token
    servers[0].should_exit = True  # type: ignore[attr-defined]
    thread.join(10)
    assert not thread.is_alive()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def _all(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_the_parts_of_an_answer_do_not_wait_for_acknowledgements(
    address: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transports = []
    watch = protocol.PatientProtocol._watch

    def note(connection: protocol.PatientProtocol) -> None:
        transports.append(connection.transport)
        watch(connection)

    monkeypatch.setattr(protocol.PatientProtocol, "_watch", note)
    with _connect(address[0]) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(100)
        server_end = transports[0].get_extra_info("socket")
        assert server_end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_connection_without_a_request_is_closed(address: tuple[int, str]) -> None:
    for text in (b"", b"GET /v1/info HTTP/1.1\r\nhost: x"):
        with _connect(address[0]) as connection:
            connection.sendall(text)
            assert _all(connection) == b""


def test_a_body_that_stops_is_one_clear_error(address: tuple[int, str]) -> None:
    head = HEAD.format(port=address[0], token=address[1])
    kind = "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    with _connect(address[0]) as connection:
        connection.sendall((head + kind).encode())
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive in time" in answer


def test_a_body_that_trickles_is_one_clear_error(address: tuple[int, str]) -> None:
    head = HEAD.format(port=address[0], token=address[1])
    kind = "content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    with _connect(address[0]) as connection:
        connection.sendall((head + kind).encode())
        start = time.monotonic()
        connection.settimeout(0.05)
        answer = b""
        while b"\r\n\r\n" not in answer and time.monotonic() - start < 20:
            try:
                connection.sendall(b" ")
                answer += connection.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_takes_no_answer_is_dropped(
    own_server: Server, address: tuple[int, str]
) -> None:
    head = HEAD.format(port=address[0], token=address[1]).replace("POST", "GET")
    head = head.replace("/v1/search", "/v1/images/1/file")
    path = own_server.photos / "2024" / "photo 00.jpg"
    id = own_server.service.collection.run(lambda index: index.entry(str(path)).id)  # type: ignore[union-attr]
    # JPEG readers ignore what follows the picture.
    with open(path, "ab") as file:
        file.write(bytes(50_000_000))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", address[0]))
        connection.sendall((head.replace("/1/", f"/{id}/") + "\r\n").encode())
        time.sleep(8 * SHORT)
        try:
            size = len(_all(connection))
        except ConnectionResetError:
            size = 0
    assert size < 50_000_000
