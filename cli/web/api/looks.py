"""Looks: searches with names, and answers about the photos that one is least certain of."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cli.web.api.photos import brief, record_of
from cli.web.api.pictures import CHECKED
from cli.web.http.endpoint import ID, SIDE, Endpoint, Values
from cli.web.http.errors import RequestError, answer_json
from cli.web.http.schema import Schema, check
from cli.web.service import Service
from indexes import Reader
from indexes.looks import look as looks
from indexes.looks.learn import Lesson

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 100}
DEFAULT = 12
ANSWER: Schema = {
    "type": "object",
    "properties": {"id": ID, "belongs": {"type": "boolean"}},
    "required": ["id", "belongs"],
    "additionalProperties": False,
}
ANSWERS: Schema = {
    "type": "object",
    "properties": {"answers": {"type": "array", "items": ANSWER, "minItems": 1, "maxItems": 1000}},
    "required": ["answers"],
    "additionalProperties": False,
}


async def get_looks(service: Service, request: Request, values: Values) -> Response:
    """All looks with their numbers of pictures and answers."""
    all_looks = await service.in_thread(lambda: [looks.load(name) for name in looks.names()])
    return answer_json({"looks": [_facts(one) for one in all_looks]})


async def get_look(service: Service, request: Request, values: Values) -> Response:
    """What a look would add, its expected error, and the photos that it is least certain of."""
    count = int(values.get("count", DEFAULT))
    look = await service.in_thread(partial(looks.load, values["name"]))
    return answer_json(await service.collection.read(partial(_document, look, count)))


async def post_answers(service: Service, request: Request, values: Values) -> Response:
    """Store answers, and answer what `get_look` does with them."""
    body = check(await service.bodies.json(request), ANSWERS, "the body")
    answers = {int(one["id"]): bool(one["belongs"]) for one in body["answers"]}
    digests = await service.collection.read(partial(_digests, answers))
    async with service.changing_look:
        look = await service.in_thread(partial(looks.load, values["name"]))
        look = await service.in_thread(partial(look.with_answers, digests))
    return answer_json(await service.collection.read(partial(_document, look, DEFAULT)))


def _digests(answers: Mapping[int, bool], index: Reader) -> dict[str, bool]:
    return {record_of(index, id).digest: belongs for id, belongs in answers.items()}


def _document(look: looks.Look, count: int, index: Reader) -> dict[str, Any]:
    if not len(index):
        raise RequestError(404, "the index has no photos", "mocosearch index FOLDER")
    lesson = Lesson(look, index.snapshot, index.encoder)
    doubts = []
    for doubt in lesson.doubts(count):
        id = index.snapshot.id_of(doubt.record.digest)
        if id is not None:
            doubts.append(brief(id, doubt.record) | {"probability": doubt.probability})
    return _facts(look) | asdict(lesson.expectation()) | {"doubts": doubts}


def _facts(look: looks.Look) -> dict[str, Any]:
    yes = sum(look.answers.values())
    pictures = [{"number": n, "wanted": w} for n, w in enumerate(look.pictures.values())]
    return {"name": look.name, "pictures": pictures, "yes": yes, "no": len(look.answers) - yes}


async def get_picture(service: Service, request: Request, values: Values) -> Response:
    """A small picture of one of a look's own pictures."""
    look = await service.in_thread(partial(looks.load, values["name"]))
    number, longest = int(values["number"]), int(values.get("side", 320))
    if number >= len(look.pictures):
        raise RequestError(404, f"the look {look.name} has no picture {number}")
    path = str(look.folder / list(look.pictures)[number])
    small = await service.in_thread(partial(service.decoders.jpeg, path, longest))
    return Response(small, headers={"cache-control": CHECKED}, media_type="image/jpeg")


ENDPOINTS = (
    Endpoint("GET", "/v1/looks", get_looks, "All looks"),
    Endpoint(
        "GET",
        "/v1/looks/{name}",
        get_look,
        "The photos that a look is least certain of",
        query={"count": COUNT},
        path_values={"name": NAME},
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/v1/looks/{name}/answers",
        post_answers,
        "Which photos belong to a look",
        path_values={"name": NAME},
        body=ANSWERS,
        statuses=(404, 408, 413),
    ),
    Endpoint(
        "GET",
        "/v1/looks/{name}/pictures/{number}",
        get_picture,
        "A picture of a look",
        query={"side": SIDE},
        path_values={
            "name": NAME,
            "number": {"type": "integer", "minimum": 0, "maximum": 10_000},
        },
        media="image/jpeg",
        statuses=(404, 422),
    ),
)
