"""One question to two indexes, such as one with your encoder and one with the starter."""

import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cli.web.api.search import BODY, OPTIONS, Options, answer_of, search_document, values_of
from cli.web.api.sources import Pictures, sources
from cli.web.collection import Collection
from cli.web.http.endpoint import Endpoint, Values
from cli.web.http.errors import RequestError, answer_json
from cli.web.http.schema import Schema
from cli.web.service import Service
from indexes import Reader

OTHER: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
COMPARE: Schema = {
    **BODY,
    "properties": {**BODY["properties"], "other": OTHER},
    "required": ["other"],
}


async def post_compare(service: Service, request: Request, values: Values) -> Response:
    """The answers of the server's index and of another one."""
    start = time.perf_counter()
    fields, handles = await values_of(service, request, {"other": OTHER})
    if "other" not in fields:
        raise RequestError(400, "other is missing", "name another index: see encoders of /v1/info")
    options = Options.of(fields)
    pictures = options.pictures(fields)
    own = service.collection.folder
    other = await service.in_thread(lambda: service.others.get(fields["other"], own))
    mine = await _answer(service, service.collection, service.name, pictures, options)
    theirs = await _answer(service, other, fields["other"], pictures, options)
    await _translate(service.collection, theirs)
    for document in (mine, theirs):
        document.pop("digests")
        document["seconds"]["total"] = time.perf_counter() - start
    return answer_json({"a": mine, "b": theirs, "uploads": handles})


async def _answer(
    service: Service, collection: Collection, name: str, pictures: Pictures, options: Options
) -> dict[str, Any]:
    """The document of a search, and `digests`: those of the results by id."""
    like, unlike = await sources(service, collection, pictures)

    def work(index: Reader) -> dict[str, Any]:
        answer, seconds = answer_of(index, like, unlike, options)
        names = [str(one) for one in pictures.like]
        digests = {result.id: result.record.digest for result in answer}
        return search_document(name, names, answer, options, seconds) | {"digests": digests}

    return await collection.read(work)


async def _translate(collection: Collection, document: dict[str, Any]) -> None:
    """Replace the ids of the other index by ours; null where we do not have the photo."""
    digests: dict[int, str] = document["digests"]

    def ids(index: Reader) -> Sequence[int | None]:
        return [index.snapshot.id_of(digests[one["id"]]) for one in document["results"]]

    own = await collection.read(ids)
    for result, id in zip(document["results"], own, strict=True):
        result["id"] = id
        result["copies"] = [{"id": None, "path": one["path"]} for one in result["copies"]]


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/compare",
        post_compare,
        "Search two indexes",
        body=COMPARE,
        form={**OPTIONS, "other": OTHER},
        statuses=(404, 408, 413, 415, 422),
    ),
)
