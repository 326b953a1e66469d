"""Groups of copies, what differs in each, what is no copy, and a script to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cli.duplicates import SCRIPT_HEAD, script_of
from cli.web.api.photos import brief, record_of
from cli.web.http.endpoint import ID, PAGE, Endpoint, Values
from cli.web.http.errors import answer_json
from cli.web.http.schema import check
from cli.web.service import Service
from indexes import Reader
from indexes.store.records import Record

THRESHOLD = {"type": "number", "minimum": 0, "maximum": 1}
DEFAULT = 0.9
IGNORE = {
    "type": "object",
    "properties": {"ids": {"type": "array", "items": ID, "minItems": 1, "maxItems": 1000}},
    "required": ["ids"],
    "additionalProperties": False,
}
File = tuple[str, int, Record]
"""Path, id and record of a file."""


async def get_duplicates(service: Service, request: Request, values: Values) -> Response:
    """A page of the groups; they are computed in the background."""
    offset, limit = int(values.get("offset", 0)), int(values.get("limit", 20))
    version = await service.collection.read(lambda index: index.snapshot.version)
    result = service.copies.result(float(values.get("threshold", DEFAULT)), version)
    page = result.groups[offset : offset + limit]
    groups = await service.collection.read(lambda index: [_group(index, one) for one in page])
    return answer_json(
        {
            "state": "computing" if result.computing else "done",
            "version": result.version or None,
            "total": len(result.groups),
            "offset": offset,
            "groups": [group for group in groups if group is not None],
        }
    )


def _group(index: Reader, group: Mapping[str, Any]) -> dict[str, Any] | None:
    """A group for the page; None where its photos have been removed meanwhile."""
    files: list[File] = []
    for path in group["paths"]:
        entry = index.entry(path)
        if entry is not None:
            files.append((path, entry.id, index.record(entry.id)))
    best = next((record for path, _, record in files if path == group["keep"]), None)
    if len(files) < 2 or best is None:
        return None
    photos = [
        brief(id, record)
        | {
            "path": path,
            "bytes": record.size,
            "format": record.format,
            "keep": path == group["keep"],
            "differences": differences(record, best),
        }
        for path, id, record in files
    ]
    words = dict.fromkeys(word for photo in photos for word in photo["differences"])
    head = {"name": group["name"], "score": group["score"]}
    return head | {"photos": photos, "differences": list(words)}


def differences(record: Record, best: Record) -> list[str]:
    """How a photo differs from the one to keep, in words; none where the content is the same."""
    if record.digest == best.digest:
        return []
    words = []
    if (record.width, record.height) != (best.width, best.height):
        words.append(
            f"{record.width} x {record.height} instead of {best.width} x {best.height} pixels"
        )
    if record.format != best.format:
        words.append(f"{record.format} instead of {best.format}")
    if record.size != best.size:
        words.append(f"{_bytes(record.size)} instead of {_bytes(best.size)}")
    if record.taken != best.taken:
        words.append(f"{_taken(record)} instead of {_taken(best)}")
    if record.camera != best.camera:
        words.append(f"{record.camera or 'no camera'} instead of {best.camera or 'no camera'}")
    if (record.latitude is None) != (best.latitude is None):
        words.append("without a place" if record.latitude is None else "with a place")
    return words or ["other metadata or compression"]


def _bytes(count: int) -> str:
    for size, unit in ((10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _taken(record: Record) -> str:
    return (record.taken or "no date")[:19].replace("T", " ")


async def post_ignore(service: Service, request: Request, values: Values) -> Response:
    """Remember that some photos are not copies of each other."""
    body = check(await service.bodies.json(request), IGNORE, "the body")
    ids = [int(id) for id in dict.fromkeys(body["ids"])]
    before, paths = await service.collection.read(lambda index: _paths(index, ids))
    await service.copies.ignore(ids, paths)
    await service.follow()
    after = await service.collection.read(lambda index: index.snapshot.version)
    service.copies.moved(before, after)
    return answer_json({"ignored": ids, "version": after})


def _paths(index: Reader, ids: Sequence[int]) -> tuple[str, list[str]]:
    return index.snapshot.version, [path for id in ids for path in record_of(index, id).paths]


async def get_script(service: Service, request: Request, values: Values) -> Response:
    """A shell script that removes the other files of each group, to be read first."""
    version = await service.collection.read(lambda index: index.snapshot.version)
    result = service.copies.result(float(values.get("threshold", DEFAULT)), version)
    text = SCRIPT_HEAD
    for one in result.groups:
        spare = [path for path in one["paths"] if path != one["keep"]]
        text += "".join(
            f"{line}\n" for line in script_of(one["name"], one["score"], one["keep"], spare)
        )
    headers = {"content-disposition": 'attachment; filename="remove-copies.sh"'}
    data = text.encode("utf-8", "surrogateescape")
    return Response(data, headers=headers, media_type="text/x-shellscript")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/duplicates",
        get_duplicates,
        "Groups of copies",
        query={"threshold": THRESHOLD, **PAGE},
        statuses=(409,),
    ),
    Endpoint(
        "POST",
        "/v1/duplicates/ignore",
        post_ignore,
        "Remember that photos are not copies",
        body=IGNORE,
        statuses=(404, 408, 409, 413),
    ),
    Endpoint(
        "GET",
        "/v1/duplicates/script",
        get_script,
        "A shell script that removes copies",
        query={"threshold": THRESHOLD},
        media="text/x-shellscript",
        statuses=(409,),
    ),
)
