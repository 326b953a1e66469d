"""Bodies of requests, limited while they arrive and never written to a disk."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from cli.web.http.errors import RequestError

TOTAL = 2.5
"""Bytes of all bodies that arrive at one time, as a multiple of the limit of one."""
SECONDS = 120.0
"""For a whole body."""
FILES, FIELDS = 20, 200
"""Of one form, at most."""
JSON_BYTES = 4_000_000


class _InMemory(MultiPartParser):
    """Keeps files in memory: Starlette writes those of more than a megabyte to a disk."""

    spool_max_size = 1 << 40


class Bodies:
    """Receives bodies. limit: bytes of one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._arriving = 0

    async def form(self, request: Request) -> tuple[list[tuple[str, str]], dict[str, list[bytes]]]:
        """The text fields and the files of a multipart form. Raises RequestError."""
        pieces = self._pieces(request, self.limit)
        parser = _InMemory(
            request.headers,
            pieces,
            max_files=FILES,
            max_fields=FIELDS,
            max_part_size=JSON_BYTES,
        )
        try:
            return await _parts(await parser.parse())
        except (MultiPartException, KeyError, ValueError) as error:
            message = getattr(error, "message", "") or "the form cannot be read"
            raise RequestError(400, message, "send multipart/form-data") from error
        finally:
            await pieces.aclose()

    async def json(self, request: Request) -> Any:
        """A JSON document. Raises RequestError."""
        parts = [piece async for piece in self._pieces(request, min(self.limit, JSON_BYTES))]
        try:
            return json.loads(b"".join(parts), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise RequestError(400, "the body is not JSON", str(error)[:200]) from error

    async def _pieces(self, request: Request, limit: int) -> AsyncGenerator[bytes]:
        """The pieces of a body. Raises RequestError for too many bytes or seconds."""
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            raise _too_large(limit)
        total = 0
        try:
            async with asyncio.timeout(SECONDS):
                async for piece in request.stream():
                    total += len(piece)
                    self._arriving += len(piece)
                    if total > limit:
                        raise _too_large(limit)
                    if self._arriving > TOTAL * self.limit:
                        raise RequestError(
                            503, "too many large requests at one time", "send it again soon"
                        )
                    yield piece
        except ClientDisconnect as error:
            raise RequestError(400, "the body was cut off") from error
        except TimeoutError as error:
            raise RequestError(408, "the body did not arrive in time") from error
        finally:
            self._arriving -= total


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than {limit / 1e6:.0f} MB")


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
