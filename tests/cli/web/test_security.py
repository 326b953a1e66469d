"""Who may see the photos, and what the answers allow a browser to do."""

import base64
import re
import time
from pathlib import Path

import pytest
from web_server import ADDRESS, PORT, Server

from cli.web.app import ENDPOINTS
from cli.web.http import access
from cli.web.http.access import Access


def test_only_the_names_of_this_server_are_answered(server: Server) -> None:
    for host in ("evil.example", "evil.example:8420", "127.0.0.1", "127.0.0.1:80", "", "localhost"):
        answer = server.client.get("/v1/info", headers={"host": host})
        assert answer.status_code == 421, host
        assert "photos" not in answer.json()
    for host in (f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"):
        assert server.client.get("/v1/info", headers={"host": host}).status_code == 200, host


def test_a_forwarded_host_is_not_believed(server: Server) -> None:
    headers = {"host": "evil.example", "x-forwarded-host": f"127.0.0.1:{PORT}"}
    assert server.client.get("/v1/info", headers=headers).status_code == 421


def test_the_host_is_checked_for_the_page_and_unknown_paths_too(server: Server) -> None:
    for path in (
        "/",
        "/healthz",
        "/static/index.html",
        "/nothing",
        f"/?token={server.access.token}",
    ):
        answer = server.stranger().get(path, headers={"host": "evil"}, follow_redirects=False)
        assert answer.status_code == 421, path
        assert "set-cookie" not in answer.headers


def test_every_endpoint_needs_the_cookie_or_the_token(server: Server) -> None:
    stranger = server.stranger()
    for endpoint in ENDPOINTS:
        path = endpoint.path.replace("{id}", "1").replace("{handle}", "u0123456789abcdef")
        answer = stranger.request(endpoint.method, path)
        assert answer.status_code == (200 if endpoint.path == "/healthz" else 401), endpoint.path
    for path in ("/", "/openapi.json", "/static/index.html", "/nothing"):
        assert stranger.get(path).status_code == 401, path


def test_the_token_is_exchanged_for_a_cookie_and_a_clean_address(server: Server) -> None:
    answer = server.stranger().get(f"/?token={server.access.token}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    name, _, attributes = answer.headers["set-cookie"].partition("=")
    assert name == f"mocosearch-{PORT}"
    assert {"httponly", "samesite=strict"} <= set(attributes.lower().split("; "))
    assert server.access.token not in attributes


def test_a_wrong_token_or_cookie_is_no_entrance(server: Server) -> None:
    stranger = server.stranger()
    answer = stranger.get("/?token=wrong", follow_redirects=False)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    for cookie in ("wrong", "", server.access.token):
        headers = {"cookie": f"{server.access.cookie}={cookie}"}
        assert stranger.get("/v1/info", headers=headers).status_code == 401


def test_a_browser_without_the_cookie_gets_a_page_that_says_where_the_address_is(
    server: Server,
) -> None:
    stranger = server.stranger()
    for path in ("/", "/?token=wrong"):
        answer = stranger.get(path, headers={"accept": "text/html,*/*;q=0.8"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert answer.headers["content-type"].startswith("text/html")
        assert "mocosearch serve" in answer.text
        assert server.access.token not in answer.text
        assert answer.headers["content-security-policy"]
        for file in re.findall(r'href="(/static/[^"]+)"', answer.text):
            assert stranger.get(file).status_code == 200, file
    # Programs get JSON.
    assert stranger.get("/").json().keys() == {"error", "hint"}


def test_the_cookie_of_another_port_is_not_ours(server: Server) -> None:
    value = server.access.set_cookie().partition(";")[0].partition("=")[2]
    headers = {"cookie": f"mocosearch-{PORT + 1}={value}"}
    assert server.stranger().get("/v1/info", headers=headers).status_code == 401


def test_programs_send_the_token(server: Server) -> None:
    token = server.access.token
    for headers in ({"authorization": f"Bearer {token}"}, _basic("any", token)):
        assert server.stranger().get("/v1/info", headers=headers).status_code == 200
    for headers in (
        {"authorization": "Bearer no"},
        _basic("any", "no"),
        {"authorization": "Basic ?"},
    ):
        assert server.stranger().get("/v1/info", headers=headers).status_code == 401
    # Only `/` takes it from the address.
    assert server.stranger().get(f"/v1/info?token={token}").status_code == 401


def test_tokens_cannot_be_guessed() -> None:
    tokens = {Access.of([], PORT).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 43


def test_other_sites_are_not_answered_although_the_browser_sends_the_cookie(server: Server) -> None:
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{PORT}",
        "http://127.0.0.1:1",
    ):
        answer = server.client.post("/v1/search", json={"ids": [1]}, headers={"origin": origin})
        assert answer.status_code == 403, origin
    for site in ("cross-site", "same-site"):
        answer = server.client.get("/v1/images/1/thumbnail", headers={"sec-fetch-site": site})
        assert answer.status_code == 403, site
    for headers in ({"origin": ADDRESS}, {"origin": ADDRESS, "sec-fetch-site": "same-origin"}):
        assert (
            server.client.post("/v1/search", json={"ids": [1]}, headers=headers).status_code == 200
        )


def test_the_origin_is_compared_with_a_list_not_with_the_host(server: Server) -> None:
    # After DNS rebinding both name the attacker's site; with an allowed host, the origin decides.
    headers = {"host": f"localhost:{PORT}", "origin": f"http://evil.example:{PORT}"}
    assert server.client.get("/v1/info", headers=headers).status_code == 403


def test_a_link_from_another_site_opens_the_page_without_the_photos(server: Server) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert server.client.get("/", headers=headers).status_code == 200
    assert server.client.get("/v1/images", headers=headers).status_code == 403


def test_no_answer_is_for_other_origins(server: Server) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    for method, path in (("OPTIONS", "/v1/search"), ("GET", "/v1/info"), ("GET", "/")):
        answer = server.client.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert server.client.options("/v1/search", headers={"origin": ADDRESS}).status_code == 405


def test_every_answer_restricts_the_browser(server: Server) -> None:
    paths = ("/", "/v1/info", "/v1/images/1/thumbnail", "/v1/images/1/file", "/nothing")
    answers = [server.client.get(path) for path in paths]
    answers += [server.stranger().get("/"), server.client.get("/", headers={"host": "evil"})]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert re.match("private|no-store", answer.headers["cache-control"])
        assert "server" not in answer.headers


def test_photos_are_reached_by_id_and_never_by_path(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"7f3a91c2")
    for text in (
        str(secret),
        "../../etc/passwd",
        "%2e%2e%2fetc%2fpasswd",
        "1/../../x",
        "0",
        "-1",
        "1e3",
    ):
        for end in ("", "/thumbnail", "/file"):
            answer = server.client.get(f"/v1/images/{text}{end}")
            assert answer.status_code == 404, text
            assert b"7f3a91c2" not in answer.content
    for text in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", ".", ""):
        assert server.client.get(f"/static/{text}").status_code == 404, text


def test_addresses_are_not_fetched(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def connect(*words: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    url = "http://127.0.0.1:1/x.jpg"
    answer = server.client.post("/knn-service", json={"image_url": url})
    assert (answer.status_code, answer.json()["error"]) == (400, "addresses are not fetched")
    assert server.client.post("/v1/search", json={"url": url}).status_code == 400
    assert server.client.post("/v1/search", json={"ids": [url]}).status_code == 400


def test_the_password_is_delayed_after_a_wrong_one(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []

    async def no_sleep(seconds: float) -> None:
        delays.append(seconds)

    monkeypatch.setattr(access, "sleep", no_sleep)
    stranger = guarded.stranger()
    assert stranger.get("/v1/info", headers=_basic("me", "correct horse")).status_code == 200
    assert not delays
    for _ in range(8):
        answer = stranger.get("/v1/info", headers=_basic("me", "wrong"))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (access.FIRST_DELAY, access.LAST_DELAY)
    before = len(delays)
    assert stranger.get("/v1/info", headers=_basic("me", "correct horse")).status_code == 200
    assert len(delays) > before
    # Then the delays are forgotten.
    before = len(delays)
    assert stranger.get("/v1/info", headers=_basic("me", "correct horse")).status_code == 200
    assert len(delays) == before


def test_without_a_password_there_is_no_dialogue_for_one(server: Server) -> None:
    assert "www-authenticate" not in server.stranger().get("/v1/info").headers
    assert server.stranger().get("/v1/info", headers=_basic("me", "")).status_code == 401


def test_an_answer_for_the_wrong_password_does_take_time(guarded: Server) -> None:
    stranger = guarded.stranger()
    stranger.get("/v1/info", headers=_basic("me", "wrong"))
    start = time.monotonic()
    stranger.get("/v1/info", headers=_basic("me", "wrong"))
    assert time.monotonic() - start >= access.FIRST_DELAY


def _basic(user: str, password: str) -> dict[str, str]:
    text = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {text}"}
