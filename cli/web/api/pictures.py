"""Pictures as files: thumbnails, and photos as a browser can show them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cli.web.api.photos import TAG, record_of
from cli.web.http.endpoint import HANDLE, ID, SIDE, Endpoint, Values
from cli.web.http.errors import RequestError
from cli.web.service import Service
from indexes import Reader
from indexes.search.answer import existing_first
from indexes.store.records import Record
from mocosearch.errors import Unreadable
from mocosearch.photos.formats import HEAD, format_of

SIDES = (160, 320, 640, 1280)
"""Lengths of the longest side of thumbnails that are stored; others are rounded up to these."""
STORED = 640
"""The largest thumbnail that is stored."""
MEDIA = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
"""Formats that browsers show."""
PIECE = 1 << 18
FOREVER = "private, max-age=31536000, immutable"
CHECKED = "private, no-cache"
"""The browser asks whether its copy is still right: an id belongs to one index only."""


async def get_thumbnail(service: Service, request: Request, values: Values) -> Response:
    """A small picture, made once; of a photo on an unplugged disk the stored one."""
    wanted = int(values.get("side", 320))
    side = next((one for one in SIDES if one >= wanted), SIDES[-1])

    def work(index: Reader) -> tuple[Record, bytes | None]:
        record = record_of(index, int(values["id"]))
        return record, service.thumbnails.get(record.digest, side)

    record, data = await service.collection.read(work)
    tag = f'"{record.digest}-{side}"'
    # With `v` the address is another one for another file.
    life = FOREVER if values.get("v") == record.digest[:TAG] else CHECKED
    headers = {"etag": tag, "cache-control": life}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if data is None:
        data = await service.in_thread(lambda: thumbnail(service, record, side))
    return Response(data, headers=headers, media_type="image/jpeg")


def thumbnail(service: Service, record: Record, side: int) -> bytes:
    """The stored thumbnail, or a new one; of a missing photo any that is stored. Raises
    RequestError where there is none, Unreadable.
    """
    stored = service.thumbnails.get(record.digest, side)
    if stored is not None:
        return stored
    paths = existing_first(record.paths)
    if not os.path.exists(paths[0]):
        for other in sorted(SIDES, key=lambda one: abs(one - side)):
            if (stored := service.thumbnails.get(record.digest, other)) is not None:
                return stored
        raise RequestError(404, "the photo's file is missing", "plug in its disk, or index again")
    data = service.decoders.jpeg(paths[0], side)
    if side <= STORED:
        service.thumbnails.put(record.digest, side, data)
    return data


async def get_file(service: Service, request: Request, values: Values) -> Response:
    """The file itself where browsers show its format, else a JPEG of it."""
    record = await service.collection.read(lambda index: record_of(index, int(values["id"])))
    side = values.get("side")
    if side is None:
        opened = await service.in_thread(lambda: _open(record.paths))
        if opened is not None:
            return _stream(*opened)
    longest = 4096 if side is None else int(side)
    data = await service.in_thread(partial(_scaled, service, record, longest))
    return Response(data, headers={"cache-control": CHECKED}, media_type="image/jpeg")


def _scaled(service: Service, record: Record, longest: int) -> bytes:
    paths = existing_first(record.paths)
    if os.path.exists(paths[0]):
        return service.decoders.jpeg(paths[0], longest)
    return thumbnail(service, record, SIDES[-1])


def _open(paths: Sequence[str]) -> tuple[BinaryIO, int, str] | None:
    """A file that a browser can show, its size and its type; None where there is none. The content
    decides: another file may have taken the photo's place.
    """
    for path in existing_first(paths):
        with suppress(OSError):
            if not os.path.isfile(path):
                continue
            file = open(path, "rb")  # noqa: SIM115
            media = MEDIA.get(format_of(file.read(HEAD)) or "")
            if media is not None:
                return file, os.fstat(file.fileno()).st_size, media
            file.close()
    return None


def _stream(file: BinaryIO, size: int, media: str) -> Response:
    """The file in pieces, which are read in threads."""

    def pieces() -> Iterator[bytes]:
        with file:
            file.seek(0)
            left = size
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece

    headers = {"content-length": str(size), "cache-control": CHECKED}
    return StreamingResponse(pieces(), headers=headers, media_type=media)


async def get_upload(service: Service, request: Request, values: Values) -> Response:
    """A picture that was sent for a search."""
    data, longest = service.uploads.get(values["handle"]), int(values.get("side", 320))
    try:
        small = await service.in_thread(lambda: service.decoders.jpeg(data, longest))
    except Unreadable as error:
        raise RequestError(422, error.what) from error
    return Response(small, headers={"cache-control": FOREVER}, media_type="image/jpeg")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/images/{id}/thumbnail",
        get_thumbnail,
        "A small picture of a photo",
        query={"side": SIDE, "v": {"type": "string", "maxLength": 32}},
        path_values={"id": ID},
        media="image/jpeg",
        statuses=(404, 422),
    ),
    Endpoint(
        "GET",
        "/v1/images/{id}/file",
        get_file,
        "A photo for display",
        query={"side": SIDE, "v": {"type": "string", "maxLength": 32}},
        path_values={"id": ID},
        media="image/*",
        statuses=(404, 422),
    ),
    Endpoint(
        "GET",
        "/v1/uploads/{handle}",
        get_upload,
        "A small picture of an upload",
        query={"side": SIDE},
        path_values={"handle": HANDLE},
        media="image/jpeg",
        statuses=(404, 422),
    ),
)
