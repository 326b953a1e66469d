"""The server's own state: info, health, counts and the document of the API."""

from web_server import Server

from cli.web.app import ENDPOINTS
from mocosearch.requirements import is_installed


def test_info_describes_index_and_limits(server: Server) -> None:
    info = server.get("/v1/info")
    assert (info["index"], info["photos"], info["skipped"]) == ("default", 40, 0)
    assert info["map"] == is_installed("openTSNE")
    assert info["dimension"] == 24
    assert info["encoder"].keys() >= {"name", "fingerprint"}
    assert 0 <= info["thumbnails"]["bytes"] <= info["thumbnails"]["limit"]
    assert info["limits"].keys() == {"bytes", "pixels"}


def test_health_needs_no_token_and_tells_nothing(server: Server) -> None:
    assert server.stranger().get("/healthz").json() == {"status": "ok"}


def test_counts_are_prometheus_text(server: Server) -> None:
    server.get("/v1/images/1")
    server.client.get("/v1/images/999999")
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    ok = 'mocosearch_requests_total{endpoint="/v1/images/{id}",status="200"}'
    assert float(counts[ok]) >= 1
    assert float(counts[ok.replace("200", "404")]) >= 1
    assert counts["mocosearch_photos"] == "40"
    bucket = 'mocosearch_request_seconds_bucket{endpoint="/v1/images/{id}",le="+Inf"}'
    assert float(counts[bucket]) >= 2
    # A label never comes from a request.
    server.client.get("/surely-nothing-here")
    assert "surely-nothing" not in server.client.get("/metrics").text


def test_every_endpoint_is_in_the_document(server: Server) -> None:
    document = server.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    for endpoint in ENDPOINTS:
        assert endpoint.method.lower() in document["paths"][endpoint.path]
