"""The endpoint of clip-retrieval that its clients use: https://github.com/rom1504/clip-retrieval."""

import base64
from functools import partial
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from cli.web.http.endpoint import Endpoint, Values
from cli.web.http.errors import RequestError, answer_json
from cli.web.http.schema import Schema, check
from cli.web.service import Service
from indexes import Reader
from indexes.search.question import Source

COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}
_TEXT: Schema = {"anyOf": [{"type": "string", "maxLength": 4096}, {"type": "null"}]}
BODY: Schema = {
    "type": "object",
    "properties": {
        "image": {"anyOf": [{"type": "string", "maxLength": 4_000_000}, {"type": "null"}]},
        "embedding_input": {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"type": "number", "minimum": -1e6, "maximum": 1e6},
                    "minItems": 1,
                    "maxItems": 8192,
                },
                {"type": "null"},
            ]
        },
        "text": _TEXT,
        "image_url": _TEXT,
        "num_images": COUNT,
        "num_result_ids": COUNT,
        "deduplicate": {"type": "boolean"},
    },
}
"""The fields that are used; clients send further ones, about safety and aesthetics."""


async def post_knn(service: Service, request: Request, values: Values) -> Response:
    """The nearest photos to a picture in base64 or to a key."""
    # The clients send JSON without its media type.
    body = check(await service.bodies.json(request), BODY, "the body")
    source = await _source(service, body)
    count, fold = int(body.get("num_images", 40)), body.get("deduplicate", False)
    start = str(request.base_url).rstrip("/")

    def work(index: Reader) -> list[dict[str, Any]]:
        answer = index.answer(index.question([source]), count, fold=fold)
        return [
            {
                "id": result.id,
                "similarity": result.score,
                "image_path": result.record.paths[0],
                "url": f"{start}/v1/images/{result.id}/file",
            }
            for result in answer
        ]

    return answer_json(await service.collection.read(work))


async def _source(service: Service, body: dict[str, Any]) -> Source:
    if body.get("image_url"):
        raise RequestError(400, "addresses are not fetched", "send the picture as image, in base64")
    if body.get("image"):
        try:
            data = base64.b64decode(body["image"], validate=True)
        except ValueError as error:
            raise RequestError(400, "image is not base64") from error
        side = await service.collection.read(lambda index: index.encoder.side)
        decode = partial(service.decoders.squares, data, side, None, True, service.limits)
        return await service.in_thread(decode)
    if body.get("embedding_input"):
        return np.array(body["embedding_input"], np.float32)
    if body.get("text"):
        raise RequestError(400, "this index compares pictures, not texts", "send image")
    raise RequestError(400, "the body needs image or embedding_input")


ENDPOINTS = (
    Endpoint(
        "POST",
        "/knn-service",
        post_knn,
        "clip-retrieval's search",
        body=BODY,
        statuses=(408, 413, 422),
    ),
)
