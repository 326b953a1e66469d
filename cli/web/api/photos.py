"""Photos: the timeline, pages of it, one photo with its facts, and folders."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from cli.conditions import where_of
from cli.web.http.endpoint import FILTERS, ID, PAGE, Endpoint, Values
from cli.web.http.errors import RequestError, answer_json
from cli.web.service import Service
from indexes import Reader, Where
from indexes.search.answer import existing_first
from indexes.store.records import Record

if TYPE_CHECKING:
    from indexes.timeline import Timeline

TAG = 12
"""Characters of a file's digest in `v`, which makes the address of a thumbnail unique."""
MONTH = {"type": "string", "pattern": r"^(\d{4}-\d{2}|none)$"}


def where(values: Values) -> Where:
    """The filters of a request. Raises typer.BadParameter."""
    return where_of(
        values.get("in"),
        values.get("not_in"),
        values.get("taken"),
        values.get("near"),
        values.get("camera"),
        values.get("format"),
        int(values.get("min_side", 0)),
    )


def brief(id: int, record: Record) -> dict[str, Any]:
    """A photo as lists show it."""
    return {
        "id": id,
        "width": record.width,
        "height": record.height,
        "taken": record.taken,
        "name": os.path.basename(record.paths[0]) if record.paths else "",
        "v": record.digest[:TAG],
    }


async def get_timeline(service: Service, request: Request, values: Values) -> Response:
    """Months and how many photos each has."""
    conditions = where(values)

    def work(index: Reader) -> dict[str, Any]:
        order = service.collection.timeline(index, conditions)
        months = [
            {"month": one.name, "count": one.count, "aspect": round(one.aspect, 3)}
            for one in order.months(index.snapshot)
        ]
        return {"version": index.snapshot.version, "total": len(order), "months": months}

    return answer_json(await service.collection.read(work))


async def get_images(service: Service, request: Request, values: Values) -> Response:
    """A page of photos, newest first."""
    conditions, month = where(values), values.get("month")
    offset, limit = int(values.get("offset", 0)), int(values.get("limit", 100))

    def work(index: Reader) -> dict[str, Any]:
        order = service.collection.timeline(index, conditions)
        start, end = (0, len(order)) if month is None else order.span(_month(month))
        ids = order.ids[start:end][offset : offset + limit].tolist()
        images = [brief(id, index.record(id)) for id in ids]
        head = {"version": index.snapshot.version, "total": end - start, "offset": offset}
        return head | {"images": images}

    return answer_json(await service.collection.read(work))


def _month(text: str) -> str | None:
    return None if text == "none" else text


async def get_image(service: Service, request: Request, values: Values) -> Response:
    """Everything that is known of one photo, and its neighbours in the timeline."""
    id, conditions = int(values["id"]), where(values)

    def work(index: Reader) -> dict[str, Any]:
        record = record_of(index, id)
        order = service.collection.timeline(index, conditions)
        before, after = _neighbours(order, id)
        paths = existing_first(record.paths)
        missing = not any(map(os.path.exists, paths))
        return brief(id, record) | {
            "paths": paths,
            "camera": record.camera,
            "latitude": record.latitude,
            "longitude": record.longitude,
            "format": record.format,
            "bytes": record.size,
            "missing": missing,
            "disk": disk_of(index, paths) if missing else None,
            "previous": before,
            "next": after,
        }

    return answer_json(await service.collection.read(work))


def record_of(index: Reader, id: int) -> Record:
    """A photo's record. Raises RequestError where there is none."""
    if not index.snapshot.has(id):
        raise RequestError(404, f"there is no photo {id}", "it may have been removed")
    record = index.record(id)
    if not record.paths:
        raise RequestError(404, f"photo {id} has no file", "it has been removed")
    return record


def _neighbours(order: "Timeline", id: int) -> tuple[int | None, int | None]:
    place = order.place(id)
    if place is None:
        return None, None
    before = int(order.ids[place - 1]) if place else None
    after = int(order.ids[place + 1]) if place + 1 < len(order) else None
    return before, after


def disk_of(index: Reader, paths: Sequence[str]) -> str | None:
    """The name of the disk that a missing photo is on; None where its folder is there, so that only
    the file is missing.
    """
    for path in paths:
        number = index.roots.number(path)
        root = index.roots.places[number] if number is not None else os.path.dirname(path)
        if not os.path.isdir(root) or not os.listdir(root):
            return _disk_name(root)
    return None


def _disk_name(root: str) -> str:
    """The last part of the path that is a mount point's name, such as `HOLIDAY` of
    /media/ann/HOLIDAY/2024; else the root itself.
    """
    parts = root.split(os.sep)
    depth = {"media": 3, "run": 4, "mnt": 2, "Volumes": 2}.get(parts[1] if len(parts) > 1 else "")
    if depth is not None and len(parts) > depth:
        return parts[depth]
    drive = os.path.splitdrive(root)[0]
    return drive or root


async def get_folders(service: Service, request: Request, values: Values) -> Response:
    """The folders directly below one, or the roots, with how many files each holds."""
    under = values.get("under")

    def work(index: Reader) -> dict[str, Any]:
        counts = service.collection.folders(index)
        return {"folders": _children(counts, index.roots.places.values(), under)}

    return answer_json(await service.collection.read(work))


def _children(counts: dict[str, int], roots: Any, under: str | None) -> list[dict[str, Any]]:
    totals: dict[str, int] = {}
    above = None if not under else os.path.join(os.path.normpath(under), "")
    for folder, count in counts.items():
        if above is None:
            child = next((r for r in roots if os.path.join(folder, "").startswith(_slash(r))), "")
        elif folder.startswith(above):
            child = above + folder[len(above) :].split(os.sep, 1)[0]
        else:
            continue
        totals[child] = totals.get(child, 0) + count
    return [
        {"path": path, "name": os.path.basename(path) or path, "photos": count}
        for path, count in sorted(totals.items())
    ]


def _slash(folder: str) -> str:
    return os.path.join(folder, "")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/timeline",
        get_timeline,
        "Months and their numbers of photos",
        query=FILTERS,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/images",
        get_images,
        "Photos, newest first",
        query={**PAGE, "month": MONTH, **FILTERS},
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/images/{id}",
        get_image,
        "The facts of one photo",
        query=FILTERS,
        path_values={"id": ID},
        statuses=(404,),
    ),
    Endpoint("GET", "/v1/folders", get_folders, "Folders", query={"under": FILTERS["in"]["items"]}),
)
