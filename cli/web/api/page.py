"""The files of the page: `/` and everything in the folder `static`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from cli.web.http.errors import RequestError

STATIC = Path(__file__).parents[1] / "static"
PAGE, SIGN_IN = "index.html", "sign-in.html"
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


async def get_page(request: Request) -> Response:
    """The page; all its states are in its address."""
    return Response(_read(PAGE), media_type=MEDIA[".html"])


def sign_in(headers: Mapping[str, str]) -> Response:
    """What a browser without the token, the cookie or the password gets: where they are found."""
    return Response(_read(SIGN_IN), 401, dict(headers), media_type=MEDIA[".html"])


async def get_static(request: Request) -> Response:
    """One file of the page; the browser asks whether its copy is still right."""
    data = _read(request.path_params["name"])
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    media = MEDIA[Path(request.path_params["name"]).suffix]
    return Response(data, headers=headers, media_type=media)


def _read(name: str) -> bytes:
    """A file by its name in a list of the folder, so that no path leads elsewhere."""
    files = {file.name: file for file in STATIC.iterdir() if file.suffix in MEDIA}
    if name not in files:
        raise RequestError(404, f"there is no file {name}")
    return files[name].read_bytes()
