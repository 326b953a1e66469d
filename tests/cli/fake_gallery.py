"""A server with the API of `mocosearch serve` over photos that are only numbers, for tests of the
page: a million photos, slow answers and errors cost nothing here.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

STATIC = Path(__file__).parents[2] / "cli" / "web" / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
SHAPES = ((300, 200), (200, 300), (400, 300), (300, 300), (320, 180))
FOLDERS = {"": ("/photos",), "/photos": ("/photos/2023", "/photos/2024")}
Query = Mapping[str, list[str]]


def months_of(photos: int, first: int = 2024, years: int = 1) -> list[tuple[str | None, int]]:
    """Months, newest first, of `photos` photos in so many years; a tenth has no date."""
    names = [f"{first - year}-{month:02}" for year in range(years) for month in range(12, 0, -1)]
    undated = photos // 10
    each, rest = divmod(photos - undated, len(names))
    counts = [each + (number < rest) for number in range(len(names))]
    months: list[tuple[str | None, int]] = [
        (name, count) for name, count in zip(names, counts, strict=True) if count
    ]
    return [*months, (None, undated)] if undated else months


@dataclass
class Gallery:
    """What the server answers. months: with their numbers of photos, newest first.

    line: rank after which results may be chance. errors: (status, error, hint) by path. delay:
    seconds before each answer. requests: those received, as (method, path with query, body).
    """

    months: Sequence[tuple[str | None, int]]
    line: int | None = None
    map: bool = True
    groups: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    delay: float = 0.0
    computing: int = 0
    version: int = 1
    uploads: int = 0
    ignored: list[list[int]] = field(default_factory=list)
    answers: dict[int, bool] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of photos."""
        return sum(count for _, count in self.months)

    def image(self, place: int) -> dict[str, Any]:
        """The photo at a place of the timeline; its id counts from the oldest."""
        identity = self.total - place
        ends = accumulate(count for _, count in self.months)
        names = (month for month, _ in self.months)
        month = next(month for month, end in zip(names, ends, strict=True) if place < end)
        # Runs of one shape: what a month estimates of a part of it is wrong.
        width, height = SHAPES[identity // 130 % len(SHAPES)]
        taken = f"{month}-10T12:00:00" if month else None
        name = f"IMG_{identity:04}.jpg"
        return {
            "id": identity,
            "width": width,
            "height": height,
            "taken": taken,
            "name": name,
            "v": "1",
        }

    def bodies(self, path: str) -> list[Any]:
        """The bodies of the requests to a path, oldest first."""
        return [body for method, address, body in self.requests if urlsplit(address).path == path]

    def sent(self, path: str) -> list[Query]:
        """The parameters of the requests to a path, oldest first."""
        addresses = [urlsplit(address) for _, address, _ in self.requests]
        return [parse_qs(address.query) for address in addresses if address.path == path]


def _info(gallery: Gallery) -> dict[str, Any]:
    return {
        "index": "holiday",
        "photos": gallery.total,
        "skipped": 0,
        "dimension": 256,
        "encoder": {"name": "own", "fingerprint": "f"},
        "version": str(gallery.version),
        "encoders": [{"index": "starter", "name": "starter"}],
        "thumbnails": {"bytes": 0, "limit": 1},
        "map": gallery.map,
        "parts": True,
        "looks": 1,
        "limits": {"bytes": 1_000_000, "pixels": 100_000_000},
    }


def _look(gallery: Gallery) -> dict[str, Any]:
    yes = sum(gallery.answers.values())
    images = [gallery.image(place) for place in range(12)]
    doubts = [one | {"probability": 0.5} for one in images if one["id"] not in gallery.answers]
    return {
        "name": "beach",
        "pictures": [{"number": 0, "wanted": True}, {"number": 1, "wanted": False}],
        "yes": yes,
        "no": len(gallery.answers) - yes,
        "adds": 40,
        "wrong": 0.1,
        "examples": 2 + len(gallery.answers),
        "doubts": doubts,
    }


def _map(gallery: Gallery) -> dict[str, Any]:
    state = {"state": "done", "updating": False, "progress": 1, "tiles": 4}
    return state | {"photos": gallery.total, "v": str(gallery.version)}


def _timeline(gallery: Gallery) -> dict[str, Any]:
    mean = sum(width / height for width, height in SHAPES) / len(SHAPES)
    months = [
        {"month": month, "count": count, "aspect": round(mean * count, 3)}
        for month, count in gallery.months
    ]
    return {"version": str(gallery.version), "total": gallery.total, "months": months}


def _images(gallery: Gallery, query: Query) -> dict[str, Any]:
    offset, limit = int(query["offset"][0]), int(query["limit"][0])
    places = range(offset, min(offset + limit, gallery.total))
    images = [gallery.image(place) for place in places]
    return {
        "version": str(gallery.version),
        "total": gallery.total,
        "offset": offset,
        "images": images,
    }


def _image(gallery: Gallery, identity: int) -> dict[str, Any] | None:
    place = gallery.total - identity
    if not 0 <= place < gallery.total:
        return None
    image = gallery.image(place)
    away = identity % 7 == 0
    return image | {
        "paths": [f"/photos/2024/{image['name']}"],
        "camera": "Camera One",
        "latitude": 48.1,
        "longitude": 11.6,
        "format": "JPEG",
        "bytes": 2_400_000,
        "missing": away,
        "disk": "HOLIDAY" if away else None,
        "previous": identity + 1 if place > 0 else None,
        "next": identity - 1 if identity > 1 else None,
    }


def _answer(gallery: Gallery, body: Mapping[str, Any]) -> dict[str, Any]:
    count = min(int(body.get("k", 100)), gallery.total)
    seed = sum(one for one in body.get("ids", []) if isinstance(one, int))
    if body.get("min_score") == "auto" and gallery.line is not None:
        count = gallery.line
    results = []
    for rank in range(count):
        image = gallery.image((seed * 31 + rank * 7) % gallery.total)
        path = f"/photos/2024/{image['name']}"
        region = {"x": 0, "y": 0, "w": image["width"] // 2, "h": image["height"] // 4}
        copies = [{"id": 1, "path": "/photos/2023/copy.jpg"}] if rank == 2 else []
        clear = gallery.line is None or rank < gallery.line
        results.append(
            image
            | {
                "rank": rank + 1,
                "score": round(0.95 - rank / 200, 3),
                "path": path,
                "one_in": 9000.0,
            }
            | ({"region": region} if body.get("part") else {})
            | {"missing": rank == 4, "significant": clear, "copies": copies}
        )
    ordered = body.get("sort") not in (None, "score")
    line = None if ordered or gallery.line is None or gallery.line >= count else gallery.line
    return {
        "query": [],
        "index": "holiday",
        "results": results,
        "line": line,
        "seconds": {"total": 0.012},
        "uploads": [],
        "version": str(gallery.version),
    }


def picture(text: str) -> bytes:
    """A picture as SVG whose colour depends on a text."""
    hue = sum(map(ord, text)) * 47 % 360
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' width='300' height='200'>"
        f"<rect width='300' height='200' fill='hsl({hue} 45% 55%)'/>"
        f"<circle cx='{40 + hue % 200}' cy='100' r='60' fill='hsl({hue} 60% 75%)'/></svg>"
    ).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gallery: Gallery
    stopping: threading.Event

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests look at `requests`."""

    def do_GET(self) -> None:
        self._serve("GET", None)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        media = self.headers.get("content-type", "")
        body = json.loads(data) if media.startswith("application/json") else {"form": data}
        self._serve("POST", body)

    def _serve(self, method: str, body: Any) -> None:
        address = urlsplit(self.path)
        if self.stopping.is_set():
            # A connection that was open before; it ends without an answer.
            self.close_connection = True
            return
        self.gallery.requests.append((method, self.path, body))
        error = self.gallery.errors.get(address.path)
        if error is not None:
            self._json({"error": error[1], "hint": error[2]}, error[0])
        elif address.path == "/":
            self._send((STATIC / "index.html").read_bytes(), "text/html; charset=utf-8")
        elif address.path.startswith("/static/"):
            file = STATIC / address.path.rpartition("/")[2]
            self._send(file.read_bytes(), MEDIA[file.suffix] + "; charset=utf-8")
        elif address.path == "/v1/events":
            self._events()
        else:
            if self.gallery.delay:
                time.sleep(self.gallery.delay)
            self._api(method, address.path, parse_qs(address.query), body)

    def _api(self, method: str, path: str, query: Query, body: Any) -> None:
        simple: dict[str, Callable[[], Any]] = {
            "/v1/info": lambda: _info(self.gallery),
            "/v1/timeline": lambda: _timeline(self.gallery),
            "/v1/images": lambda: _images(self.gallery, query),
            "/v1/search": lambda: self._search(body),
            "/v1/compare": lambda: {"a": _answer(self.gallery, body), "b": self._other(body)},
            "/v1/folders": lambda: _folders(query.get("under", [""])[0]),
            "/v1/duplicates": lambda: self._duplicates(query),
            "/v1/duplicates/ignore": lambda: self._ignore(body),
            "/v1/looks": lambda: {"looks": [_look(self.gallery)]},
            "/v1/looks/beach": lambda: _look(self.gallery),
            "/v1/looks/beach/answers": lambda: self._teach(body),
            "/v1/map": lambda: _map(self.gallery),
            "/v1/map/at": lambda: {"id": 5},
        }
        parts = path.strip("/").split("/")
        if path in simple:
            self._json(simple[path]())
        elif path == "/v1/duplicates/script":
            self._send(b"#!/bin/sh\nrm copy.jpg\n", "text/plain; charset=utf-8")
        elif parts[:2] == ["v1", "images"] and len(parts) == 3:
            facts = _image(self.gallery, int(parts[2]))
            missing = {"error": f"there is no photo {parts[2]}", "hint": "it may have been removed"}
            self._json(facts or missing, 200 if facts else 404)
        elif parts[:2] in (["v1", "images"], ["v1", "uploads"], ["v1", "map"], ["v1", "looks"]):
            self._send(picture(path), "image/svg+xml")
        else:
            self._json({"error": f"there is no {path}"}, 404)

    def _search(self, body: Any) -> dict[str, Any]:
        if "form" not in body:
            return _answer(self.gallery, body)
        self.gallery.uploads += 1
        answer = _answer(self.gallery, {})
        return answer | {"uploads": [f"u{self.gallery.uploads:016x}"]}

    def _other(self, body: Any) -> dict[str, Any]:
        answer = _answer(self.gallery, body)
        return answer | {"results": answer["results"][::-1][:50]}

    def _teach(self, body: Any) -> dict[str, Any]:
        self.gallery.answers |= {one["id"]: one["belongs"] for one in body["answers"]}
        return _look(self.gallery)

    def _duplicates(self, query: Query) -> dict[str, Any]:
        gallery = self.gallery
        gallery.computing -= gallery.computing > 0
        if gallery.computing:
            return {"state": "computing", "groups": [], "total": 0}
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        page = gallery.groups[offset : offset + limit]
        return {"state": "done", "groups": page, "total": len(gallery.groups)}

    def _ignore(self, body: Any) -> dict[str, Any]:
        self.gallery.ignored.append(body["ids"])
        ids = set(body["ids"])
        self.gallery.groups[:] = [
            group
            for group in self.gallery.groups
            if not ids & {one["id"] for one in group["photos"]}
        ]
        return {"ignored": body["ids"]}

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        sent = None
        try:
            while not self.stopping.is_set():
                if sent != self.gallery.version:
                    sent = self.gallery.version
                    self.wfile.write(f"event: version\ndata: {sent}\n\n".encode())
                    self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return
        finally:
            self.close_connection = True

    def _json(self, document: Any, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), "application/json", status)

    def _send(self, data: bytes, media: str, status: int = 200) -> None:
        try:
            self.send_response(status)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(data)))
            self.send_header("content-security-policy", POLICY)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


def _folders(under: str) -> dict[str, Any]:
    paths = FOLDERS.get(under, ())
    return {
        "folders": [{"path": path, "name": path.split("/")[-1], "photos": 30} for path in paths]
    }


def group(first: int, *more: int) -> dict[str, Any]:
    """Copies of one photo, of which the first is to keep."""
    photos = [
        {
            "id": identity,
            "path": f"/photos/copies/IMG_{identity:04}.jpg",
            "name": f"IMG_{identity:04}.jpg",
            "v": "1",
            "width": 300 // (1 + place),
            "height": 200 // (1 + place),
            "bytes": 90_000 // (1 + place),
            "taken": "2024-05-01T12:00:00",
            "format": "JPEG",
            "keep": place == 0,
            "differences": [] if place == 0 else ["half the width"],
        }
        for place, identity in enumerate((first, *more))
    ]
    return {"name": f"g{first}", "photos": photos, "score": 0.97, "differences": ["half the width"]}


def eventually(page: Any, holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, while the browser runs."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(50)
    assert holds()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: the browser closes connections as it likes."""


@contextmanager
def serve(gallery: Gallery, port: int = 0) -> Iterator[str]:
    """The address of a server of the gallery, until the end of the block."""
    stopping = threading.Event()
    handler = type("Handler", (_Handler,), {"gallery": gallery, "stopping": stopping})
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
