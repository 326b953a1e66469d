"""Errors as answers: a status, one line of what happened and one of what to do."""

import errno
import json
import traceback
from collections.abc import Mapping
from typing import Any

import typer
from starlette.responses import Response

from cli.display import one_line, warn
from mocosearch.errors import (
    Busy,
    Damaged,
    Mismatch,
    MissingPackage,
    MocosearchError,
    NoPhotos,
    NotFound,
    StorageFailed,
    Unreadable,
    Unsuitable,
)

_STATUS: Mapping[type[MocosearchError], int] = {
    NotFound: 404,
    NoPhotos: 404,
    Unsuitable: 400,
    Mismatch: 400,
    Unreadable: 422,
    Busy: 409,
    StorageFailed: 503,
    Damaged: 503,
    MissingPackage: 501,
}


class RequestError(Exception):
    """A request that cannot be answered, with its status."""

    def __init__(
        self, status: int, what: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.status, self.what, self.hint, self.headers = status, what, hint, headers or {}


def answer_json(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON document in ASCII, which can express any file name."""
    text = json.dumps(document, allow_nan=False)
    return Response(text, status, dict(headers or {}), "application/json")


def answer_error(error: Exception) -> Response:
    """The answer for an error. One that is a fault of the server is only named by its type, and is
    shown in full on stderr, for the person at its terminal.
    """
    if isinstance(error, RequestError):
        return _answer(error.status, error.what, error.hint, error.headers)
    if isinstance(error, MocosearchError):
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        return _answer(status, error.what, error.hint)
    if isinstance(error, typer.BadParameter):
        return _answer(400, error.message)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _answer(507, "no disk space left", "free some disk space")
    warn("".join(traceback.format_exception(error)).rstrip())
    return _answer(500, f"the server failed: {type(error).__name__}", "its terminal shows more")


def _answer(
    status: int, what: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    return answer_json({"error": one_line(what), "hint": one_line(hint)}, status, headers)
