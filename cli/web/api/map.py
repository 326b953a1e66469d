"""The map of the collection by similarity: its state, its tiles, and the photo at a point."""

import asyncio
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from cli.web.api.photos import record_of
from cli.web.api.pictures import CHECKED, FOREVER, SIDES, thumbnail
from cli.web.background import tiles
from cli.web.background.maps import has_maps
from cli.web.http.endpoint import Endpoint, Values
from cli.web.http.errors import RequestError, answer_json
from cli.web.http.schema import Schema
from cli.web.service import Service
from indexes import Reader
from indexes.maps.grid import CELLS, Cell, Grid
from indexes.store.records import Record
from mocosearch.errors import MissingPackage, MocosearchError

LEVEL: Schema = {"type": "integer", "minimum": 0, "maximum": 20}
PLACE: Schema = {"type": "integer", "minimum": 0, "maximum": 2**20 - 1}
POINT: Schema = {"type": "number", "minimum": 0, "maximum": 1}
REACH: Schema = {"type": "integer", "minimum": 0, "maximum": 64}
Drawing = Sequence[tuple[Cell, Record | None]]


async def get_map(service: Service, request: Request, values: Values) -> Response:
    """Whether there is a map, and how many levels it has; it is computed in the background."""
    maps = service.maps
    if not has_maps():
        raise MissingPackage("the map needs openTSNE", "pip install 'mocosearch[map]'")
    if await service.collection.read(maps.refresh):
        maps.update()
    grid = maps.grid
    return answer_json(
        {
            "state": "computing" if grid is None else "done",
            "updating": maps.computing,
            "progress": maps.progress,
            "tiles": 0 if grid is None else grid.levels,
            "photos": 0 if grid is None else len(grid),
            "v": maps.version,
        }
    )


async def get_tile(service: Service, request: Request, values: Values) -> Response:
    """A picture of one tile, transparent where there are no photos."""
    level, column, row = (int(values[name]) for name in ("z", "x", "y"))
    side = int(values.get("side", tiles.SIDE))
    grid, version = await _grid(service), service.maps.version
    _check_level(grid, level)
    if max(column, row) >= 1 << level:
        raise RequestError(404, f"level {level} has no tile {column}, {row}")
    life = FOREVER if values.get("v") == version else CHECKED
    headers = {"etag": f'"{version}-{side}"', "cache-control": life}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    key = version, level, column, row, side
    before = service.maps.tile(key)
    if before is not None:
        return Response(before, headers=headers, media_type="image/webp")
    cells = list(grid.tile(level, column, row))
    drawing = await service.collection.read(partial(_drawing, cells))
    loop = asyncio.get_running_loop()
    data, whole = await loop.run_in_executor(
        service.maps.threads, partial(_draw, service, drawing, side)
    )
    if whole:
        service.maps.keep(key, data)
    else:
        headers = {"cache-control": "no-store"}
    return Response(data, headers=headers, media_type="image/webp")


def _drawing(cells: Sequence[Cell], index: Reader) -> Drawing:
    records: list[Record | None] = []
    for cell in cells:
        try:
            records.append(record_of(index, cell.id))
        except RequestError:
            records.append(None)
    return list(zip(cells, records, strict=True))


def _draw(service: Service, drawing: Drawing, side: int) -> tuple[bytes, bool]:
    """The tile, and whether every photo has its picture."""
    least = side // CELLS
    longest = next(one for one in SIDES if one >= least)
    pictures: list[tuple[int, int, bytes | None]] = []
    for cell, record in drawing:
        data = None
        if record is not None:
            try:
                data = thumbnail(service, record, longest)
            except (MocosearchError, RequestError):
                data = None
        pictures.append((cell.column, cell.row, data))
    whole = all(data is not None for _, _, data in pictures)
    return tiles.draw(pictures, side), whole


async def get_photo_at(service: Service, request: Request, values: Values) -> Response:
    """The photo that a level shows at a point; null where there is none."""
    if "x" not in values or "y" not in values:
        raise RequestError(400, "x and y are missing", "both are between 0 and 1")
    grid = await _grid(service)
    level = int(values.get("z", grid.levels - 1))
    _check_level(grid, level)
    id = grid.at(level, float(values["x"]), float(values["y"]), int(values.get("reach", 0)))
    return answer_json({"id": id})


async def _grid(service: Service) -> Grid:
    if service.maps.grid is None:
        await service.collection.read(service.maps.refresh)
    if service.maps.grid is None:
        raise RequestError(404, "there is no map yet", "GET /v1/map computes it")
    return service.maps.grid


def _check_level(grid: Grid, level: int) -> None:
    if level >= grid.levels:
        raise RequestError(404, f"there is no level {level}", f"there are {grid.levels}, from 0 on")


ENDPOINTS = (
    Endpoint("GET", "/v1/map", get_map, "The state of the map", statuses=(501,)),
    Endpoint(
        "GET",
        "/v1/map/at",
        get_photo_at,
        "The photo at a point of the map",
        query={"x": POINT, "y": POINT, "z": LEVEL, "reach": REACH},
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/map/{z}/{x}/{y}",
        get_tile,
        "A tile of the map",
        query={
            "side": {"type": "integer", "enum": [tiles.SIDE, 2 * tiles.SIDE]},
            "v": {"type": "string", "maxLength": 32},
        },
        path_values={"z": LEVEL, "x": PLACE, "y": PLACE},
        media="image/webp",
        statuses=(404,),
    ),
)
