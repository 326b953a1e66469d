"""What the server says of itself: its index, its health, its counts and its events."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cli.web.api.parts import has_parts
from cli.web.background.maps import has_maps
from cli.web.background.memory import mapped_bytes, resident_bytes
from cli.web.http.endpoint import Endpoint, Values
from cli.web.http.errors import answer_json
from cli.web.service import Service
from indexes import Reader
from indexes.looks.look import names as look_names
from mocosearch.home import names, path_of


async def get_info(service: Service, request: Request, values: Values) -> Response:
    """The index, its encoder and the limits of the server."""
    document = await service.collection.read(partial(_info, service))
    return answer_json(document)


def _info(service: Service, index: Reader) -> dict[str, Any]:
    card = index.encoder.card
    thumbnails = service.thumbnails
    return {
        "index": service.name,
        "photos": len(index),
        "skipped": service.collection.skipped(index),
        "dimension": index.encoder.dimension,
        "encoder": {
            "name": card.architecture,
            "fingerprint": card.fingerprint,
            "side": card.side,
            "corpus": card.corpus,
        },
        "version": index.snapshot.version,
        "encoders": [
            {"index": name, "name": name}
            for name in names("indexes")
            if path_of("indexes", name) != index.folder
        ],
        "thumbnails": {"bytes": thumbnails.size, "limit": thumbnails.limit},
        "map": has_maps(),
        "parts": has_parts(index),
        "looks": len(look_names()),
        "limits": {"bytes": service.limits.bytes, "pixels": service.limits.pixels},
    }


async def get_health(service: Service, request: Request, values: Values) -> Response:
    """Whether the index can be read."""
    await service.collection.read(len)
    return answer_json({"status": "ok"})


async def get_metrics(service: Service, request: Request, values: Values) -> Response:
    """Counts as the text that Prometheus reads."""
    photos = await service.collection.read(len)
    gauges = {
        "photos": float(photos),
        "thumbnail_bytes": float(service.thumbnails.size),
        "thumbnail_limit_bytes": float(service.thumbnails.limit),
        "upload_bytes": float(service.uploads.size),
        "event_streams": float(len(service.events)),
        "resident_bytes": float(resident_bytes()),
        "mapped_bytes": float(mapped_bytes()),
    }
    text = service.metrics.text(gauges)
    return Response(text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})


async def get_events(service: Service, request: Request, values: Values) -> Response:
    """Server-sent events: `version` when photos change."""
    return StreamingResponse(service.events.stream(), media_type="text/event-stream")


ENDPOINTS = (
    Endpoint("GET", "/v1/info", get_info, "The index and the limits of the server"),
    Endpoint("GET", "/healthz", get_health, "Whether the index can be read"),
    Endpoint("GET", "/metrics", get_metrics, "Counts for Prometheus", media="text/plain"),
    Endpoint("GET", "/v1/events", get_events, "Changes as they happen", media="text/event-stream"),
)
