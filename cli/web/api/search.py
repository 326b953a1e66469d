"""Search: pictures, photos of the collection or a vector, by the functions of the command."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cli.question import crop_of, min_score_of
from cli.results import document, plain
from cli.web.api.parts import find_part
from cli.web.api.photos import brief, where
from cli.web.api.sources import Pictures, sources
from cli.web.http.endpoint import FILTERS, HANDLE, ID, Endpoint, Values
from cli.web.http.errors import RequestError, answer_json
from cli.web.http.schema import Schema, check, from_texts
from cli.web.service import Service
from indexes import Answer, Crop, Reader, Where
from indexes.search.question import Source

MOST_PICTURES = 50
ANY_ID: Schema = {"anyOf": [ID, HANDLE]}
IDS: Schema = {"type": "array", "items": ANY_ID, "maxItems": MOST_PICTURES}
OPTIONS: Mapping[str, Schema] = {
    "ids": IDS,
    "minus": IDS,
    "k": {"type": "integer", "minimum": 1, "maximum": 1000},
    "crop": {"type": "string", "maxLength": 100},
    "turned": {"type": "boolean"},
    "min_score": {
        "anyOf": [
            {"type": "number", "minimum": -1, "maximum": 1},
            {"type": "string", "enum": ["auto"]},
        ]
    },
    "sort": {"type": "string", "enum": ["score", "taken", "path"]},
    "reverse": {"type": "boolean"},
    **FILTERS,
}
VECTOR: Schema = {
    "type": "array",
    "items": {"type": "number", "minimum": -1e6, "maximum": 1e6},
    "minItems": 1,
    "maxItems": 8192,
}
BODY: Schema = {
    "type": "object",
    "properties": {**OPTIONS, "vector": VECTOR},
    "additionalProperties": False,
}
PART: Mapping[str, Schema] = {"part": {"type": "boolean"}}
FILES = ("image", "minus_image")


@dataclass(frozen=True)
class Options:
    """How to search."""

    k: int
    crop: Crop | None
    turned: bool
    min_score: float | None
    significant_only: bool
    sort: str | None
    reverse: bool
    where: Where

    def pictures(self, values: Mapping[str, Any]) -> Pictures:
        """What to search with."""
        like, unlike = values.get("ids", ()), values.get("minus", ())
        return Pictures(like, unlike, values.get("vector"), self.crop, self.turned)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Options":
        """From the fields of a request. Raises typer.BadParameter."""
        score = values.get("min_score")
        min_score, significant_only = min_score_of(None if score is None else str(score))
        sort, reverse = values.get("sort"), values.get("reverse", False)
        return cls(
            int(values.get("k", 100)),
            crop_of(values.get("crop")),
            values.get("turned", False),
            min_score,
            significant_only,
            # The order of an answer is more than that of its scores.
            None if sort == "score" and not reverse else sort,
            reverse,
            where(values),
        )


async def values_of(
    service: Service, request: Request, more: Mapping[str, Schema]
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a search and the handles of its uploads, which are among the ids. Raises
    RequestError.

    more: fields beside those of a search.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "application/json":
        body = {**BODY, "properties": {**BODY["properties"], **more}}
        values = dict(check(await service.bodies.json(request), {"type": "object"}, "the body"))
        return check(values, body, "the body"), []
    if media != "multipart/form-data":
        raise RequestError(415, "send JSON or multipart/form-data")
    texts, files = await service.bodies.form(request)
    values = from_texts([(name, text) for name, text in texts], {**OPTIONS, **more})
    handles: list[str] = []
    for name, target in zip(FILES, ("ids", "minus"), strict=True):
        some = [service.uploads.add(data) for data in files.pop(name, [])]
        values.setdefault(target, []).extend(some)
        handles += some
    if files:
        raise RequestError(
            400, f"there is no file {next(iter(files))}", "files: image, minus_image"
        )
    for name in ("ids", "minus"):
        check(values[name], OPTIONS[name], name)
    return values, handles


def answer_of(
    index: Reader, like: Sequence[Source], unlike: Sequence[Source], options: Options
) -> tuple[Answer, dict[str, float]]:
    """The answer in its order, copies folded, and the seconds of its parts."""
    start = time.perf_counter()
    question = index.question(like, minus=unlike, orientations=options.turned)
    searching = time.perf_counter()
    answer = index.answer(
        question,
        options.k,
        where=options.where,
        min_score=options.min_score,
        significant_only=options.significant_only,
    )
    done = time.perf_counter()
    return answer, {"encode": searching - start, "search": done - searching}


def search_document(
    name: str, query: Sequence[str], answer: Answer, options: Options, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The document of `query --json`, with what a page shows of each result."""
    significant = {result.id for result in answer[: answer.significant]}
    line = answer.significant if answer.significant < len(answer) else None
    other_order = options.sort is not None or options.reverse
    if other_order:
        answer = answer.sorted(options.sort, reverse=options.reverse)
    results = [
        plain(rank, result, parts=answer.parts)
        | brief(result.id, result.record)
        | {
            "significant": result.id in significant,
            "copies": [{"id": id, "path": path} for id, path in result.others],
        }
        for rank, result in enumerate(answer, 1)
    ]
    return document(query, name, results, seconds) | {"line": None if other_order else line}


async def post_search(service: Service, request: Request, values: Values) -> Response:
    """The photos most like some pictures."""
    start = time.perf_counter()
    fields, handles = await values_of(service, request, PART)
    options = Options.of(fields)
    pictures = options.pictures(fields)
    search = _find_part if fields.get("part") else _find
    answer, seconds, version = await search(service, pictures, options)
    seconds["total"] = time.perf_counter() - start
    names = [str(one) for one in pictures.like]
    result = search_document(service.name, names, answer, options, seconds)
    return answer_json(result | {"version": version, "uploads": handles})


async def _find(
    service: Service, pictures: Pictures, options: Options
) -> tuple[Answer, dict[str, float], str]:
    """The answer, the seconds of its parts, and the version of the index."""
    like, unlike = await sources(service, service.collection, pictures)

    def work(index: Reader) -> tuple[Answer, dict[str, float], str]:
        return *answer_of(index, like, unlike, options), index.snapshot.version

    return await service.collection.read(work)


async def _find_part(
    service: Service, pictures: Pictures, options: Options
) -> tuple[Answer, dict[str, float], str]:
    score = options.min_score, options.significant_only
    answer, version = await find_part(service, pictures, options.k, options.where, *score)
    return answer, {}, version


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/search",
        post_search,
        "Search with pictures, photos or a vector",
        body={**BODY, "properties": {**BODY["properties"], **PART}},
        form={**OPTIONS, **PART},
        statuses=(404, 408, 413, 415, 422),
    ),
)
