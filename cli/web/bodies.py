"""Bodies of requests, limited while they arrive and never written to a disk."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from cli.web.errors import RequestError

AT_ONCE = 4
"""Bodies that are received at one time; the others wait."""
LARGE = 1_000_000
"""Bytes from which on a body counts among these."""
FILES, FIELDS = 20, 200
"""Of one form, at most."""
JSON_BYTES = 4_000_000
DEPTH = "too deeply nested"


class _InMemory(MultiPartParser):
    """Keeps files in memory: Starlette writes those of more than a megabyte to a disk."""

    spool_max_size = 1 << 40


class Bodies:
    """Receives bodies. limit: bytes of one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def form(self, request: Request) -> tuple[list[tuple[str, str]], dict[str, list[bytes]]]:
        """The text fields and the files of a multipart form. Raises RequestError."""
        async with self._turn:
            parser = _InMemory(
                request.headers,
                _limited(request, self.limit),
                max_files=FILES,
                max_fields=FIELDS,
                max_part_size=JSON_BYTES,
            )
            try:
                form = await parser.parse()
            except (MultiPartException, KeyError, ValueError) as error:
                message = getattr(error, "message", "") or "the form cannot be read"
                raise RequestError(400, message, "send multipart/form-data") from error
            return await _parts(form)

    async def json(self, request: Request) -> Any:
        """A JSON document. Raises RequestError."""
        pieces = [piece async for piece in _limited(request, min(self.limit, JSON_BYTES))]
        try:
            return json.loads(b"".join(pieces), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise RequestError(400, "the body is not JSON", str(error)[:200]) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


async def _parts(form: FormData) -> tuple[list[tuple[str, str]], dict[str, list[bytes]]]:
    texts: list[tuple[str, str]] = []
    files: dict[str, list[bytes]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.setdefault(name, []).append(await value.read())
            await value.close()
        else:
            texts.append((name, value))
    return texts, files


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes]:
    """The pieces of a body. Raises RequestError for too many bytes, and where the client goes."""
    length = request.headers.get("content-length", "0")
    too_large = RequestError(413, f"the body is larger than {limit // 10**6} MB")
    if not length.isdecimal() or int(length) > limit:
        raise too_large
    received = 0
    try:
        async for piece in request.stream():
            received += len(piece)
            if received > limit:
                raise too_large
            yield piece
    except ClientDisconnect as error:
        raise RequestError(400, "the body was cut off") from error
