"""mocosearch serve, from outside: its output, its end, and clients that misbehave."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from light_index import light_index
from program import command
from web_process import Process, serving

from cli.serve import serve
from mocosearch.errors import MissingPackage

Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return light_index(tmp_path / "index", tmp_path / "photos", 12)


@pytest.fixture
def server(index: Path) -> Iterator[Process]:
    with serving(index) as process:
        yield process


def test_the_address_is_the_only_line_on_stdout(server: Process) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", server.line)
    assert server.json("/v1/info")["photos"] == 12
    server.process.send_signal(signal.SIGINT)
    out, errors = server.process.communicate(timeout=10)
    assert (out, errors.splitlines()) == ("", ["stopped"])
    assert server.process.returncode == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_within_a_second_although_clients_are_connected(
    server: Process, ending: signal.Signals
) -> None:
    stream = HTTPConnection(server.host, server.port, timeout=60)
    response = server.begin(stream, "GET", "/v1/events")
    assert response.readline().startswith(b"event: version")
    idle, half = server.raw(), server.raw()
    half.sendall(b"POST /v1/search HTTP/1.1\r\n")
    time.sleep(0.2)
    start = time.monotonic()
    server.process.send_signal(ending)
    server.process.wait(timeout=10)
    assert time.monotonic() - start < 1
    for connection in (idle, half):
        connection.close()
    stream.close()


def test_events_tell_of_new_photos(server: Process, tmp_path: Path, index: Path) -> None:
    stream = HTTPConnection(server.host, server.port, timeout=60)
    response = server.begin(stream, "GET", "/v1/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    first = [response.readline() for _ in range(3)][1]
    shutil.copy(next((tmp_path / "photos").iterdir()), tmp_path / "photos" / "copy.jpg")
    with open(tmp_path / "photos" / "copy.jpg", "ab") as file:
        file.write(b"x")
    run = command("index", tmp_path / "photos", "--index", index, home=tmp_path, fork=False)
    assert run.returncode == 0, run.stderr
    second = [response.readline() for _ in range(3)][1]
    assert second.startswith(b"data: ")
    assert second != first
    stream.close()
    assert server.json("/v1/info")["photos"] == 13


def test_other_commands_do_not_import_the_server() -> None:
    code = (
        "import sys, cli.main, cli.query, cli.question, cli.results, indexes;"
        "print([m for m in ('starlette', 'uvicorn', 'multipart', 'cli.web') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingPackage) as error:
        serve(index="any")
    assert "mocosearch[serve]" in error.value.hint


def test_a_port_in_use_is_one_clear_error(server: Process, index: Path, tmp_path: Path) -> None:
    words = ("serve", "--index", index, "--port", server.port, "--no-browser")
    run = command(*words, home=tmp_path, fork=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines()[0] == f"error: port {server.port} is in use"
    assert "--port 0" in run.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--index", "none"), "no index at"),
        (("--host", "0.0.0.0"), "--host must be one address"),
        (("--host", "192.0.2.1"), "needs a password"),
        (("--tls-cert", "x.pem"), "--tls-cert and --tls-key go together"),
        (("--thumbnails", "many"), "is not a size"),
    ],
)
def test_wrong_options_are_clear_errors(
    index: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    line = words if "--index" in words else ("--index", str(index), *words)
    run = command("serve", "--no-browser", *line, home=tmp_path, fork=False)
    assert run.returncode in (1, 2)
    assert run.stdout == ""
    assert message in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_a_password_opens_it_on_another_address(index: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    # Every address of 127.0.0.0/8 is this machine; it is not among those that need no password.
    with serving(index, "--host", "127.0.0.2", "--password-file", secret) as server:
        assert server.host == "127.0.0.2"
        status, _ = server.request("GET", "/v1/info", headers={"authorization": "Basic eDp4"})
        assert status == 401
        basic = "Basic eDpjb3JyZWN0IGhvcnNl"
        assert server.request("GET", "/v1/info", headers={"authorization": basic})[0] == 200


def test_tls_is_served_with_a_certificate(index: Path, tmp_path: Path) -> None:
    import ssl

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(files[0]), "-keyout"]
    subprocess.run([*line, *more, str(files[1])], check=True, capture_output=True)
    with serving(index, "--tls-cert", files[0], "--tls-key", files[1]) as server:
        assert server.line.startswith("https://")
        context = ssl.create_default_context(cafile=str(files[0]))
        with context.wrap_socket(server.raw(), server_hostname="127.0.0.1") as connection:
            head = f"GET /?token={server.token} HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 303")
        assert "; Secure" in answer


def test_an_upload_that_is_cut_off_does_no_harm(server: Process) -> None:
    for _ in range(5):
        connection = server.raw()
        connection.sendall(_head(server, "content-length: 1000000") + b"--x\r\n" + bytes(1000))
        connection.close()
    assert server.json("/v1/info")["photos"] == 12


def test_a_client_that_stops_in_its_request_hinders_nobody(server: Process) -> None:
    hanging = []
    for text in (b"", b"GET /v1/info HT", _head(server, "content-length: 1000") + b"--x"):
        connection = server.raw()
        connection.sendall(text)
        hanging.append(connection)
    for _ in range(3):
        assert server.json("/v1/images?limit=5")["total"] == 12
    for connection in hanging:
        connection.close()


def test_a_client_that_takes_no_answer_hinders_nobody(server: Process) -> None:
    hanging = [server.raw() for _ in range(3)]
    for connection in hanging:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line = f"GET /v1/images?limit=1000 HTTP/1.1\r\nhost: {server.host}:{server.port}\r\n"
        token = f"authorization: Bearer {server.token}\r\n\r\n"
        connection.sendall((line + token).encode() * 50)
    assert server.json("/v1/info")["photos"] == 12
    for connection in hanging:
        connection.close()


def _head(server: Process, *lines: str) -> bytes:
    head = [
        "POST /v1/search HTTP/1.1",
        f"host: {server.host}:{server.port}",
        f"authorization: Bearer {server.token}",
        "content-type: multipart/form-data; boundary=x",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def test_an_index_that_is_removed_is_one_error_until_it_is_back(
    server: Process, index: Path
) -> None:
    away = index.rename(index.with_name("away"))
    deadline = time.monotonic() + 20
    while (answer := server.request("GET", "/v1/images"))[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer[0] == 503
    assert "has disappeared" in json.loads(answer[1])["error"]
    assert server.request("GET", "/healthz")[0] == 503
    # The page itself is there.
    assert server.request("GET", "/")[0] == 200
    away.rename(index)
    while server.request("GET", "/v1/images")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert server.json("/v1/info")["photos"] == 12


def test_on_a_full_disk_searches_and_the_page_go_on(server: Process, index: Path) -> None:
    resource = pytest.importorskip("resource", reason="only Unix has limits of file sizes")
    # A limit of file sizes fails as a full disk does, for this process and for those it starts.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    picture = next((index.parent / "photos").iterdir()).read_bytes()
    head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    form = {"content-type": "multipart/form-data; boundary=x"}
    for _ in range(2):
        for path in ("/", "/v1/info", "/v1/images", "/v1/timeline", "/v1/duplicates", "/metrics"):
            assert server.request("GET", path)[0] == 200, path
        for id in range(1, 13):
            status, small = server.request("GET", f"/v1/images/{id}/thumbnail?side=160")
            assert (status, small[:2]) == (200, b"\xff\xd8")
            assert server.request("GET", f"/v1/images/{id}/file?side=64")[0] == 200
        for body, headers in (({"ids": [1]}, {}), (head + picture + b"\r\n--x--\r\n", form)):
            status, text = server.request("POST", "/v1/search", body, headers)
            assert status == 200, text
            assert json.loads(text)["results"][0]["score"] > 0.99
    status, text = server.request("POST", "/v1/duplicates/ignore", {"ids": [1, 2]})
    assert status >= 400
    assert "index" in json.loads(text)["error"]
    assert json.loads(text)["hint"]
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, 2 * (resource.RLIM_INFINITY,))
    assert server.request("POST", "/v1/duplicates/ignore", {"ids": [1, 2]})[0] == 200
    assert server.request("GET", "/healthz")[0] == 200


def test_an_index_that_is_replaced_by_another_is_followed(
    server: Process, index: Path, tmp_path: Path
) -> None:
    other = light_index(tmp_path / "other", tmp_path / "more", 20)
    shutil.rmtree(index)
    other.rename(index)
    deadline = time.monotonic() + 20
    while True:
        status, body = server.request("GET", "/v1/info")
        if status == 200 and json.loads(body)["photos"] == 20:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert server.request("POST", "/v1/search", {"ids": [20], "k": 3})[0] == 200


def test_photos_and_their_folders_stay_as_they_are(server: Process, tmp_path: Path) -> None:
    def state() -> list[tuple[str, bytes, int]]:
        files = sorted((tmp_path / "photos").rglob("*"))
        return [(str(file), file.read_bytes(), file.stat().st_mtime_ns) for file in files]

    before = state()
    for path in ("/v1/images", "/v1/images/1/thumbnail", "/v1/images/1/file", "/v1/duplicates"):
        assert server.request("GET", path)[0] == 200, path
    server.request("POST", "/v1/search", {"ids": [1]})
    server.request("POST", "/v1/duplicates/ignore", {"ids": [1, 2]})
    assert state() == before
