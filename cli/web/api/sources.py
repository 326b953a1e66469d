"""What a search is made with: photos by id, uploads by handle, or a vector, as keys or squares."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from cli.web.api.photos import record_of
from cli.web.collection import Collection
from cli.web.http.errors import RequestError
from cli.web.service import Service
from indexes import Crop, Reader
from indexes.search.answer import existing_first
from indexes.search.question import Source
from indexes.store.records import Record
from mocosearch.errors import Unreadable

T = TypeVar("T")


@dataclass(frozen=True)
class Pictures:
    """Ids of photos of the server's index and handles of uploads, and a vector.

    crop: the region of every wanted picture that counts. turned: try all orientations, for which
    the stored key is not enough.
    """

    like: Sequence[int | str]
    unlike: Sequence[int | str] = ()
    vector: Sequence[float] | None = None
    crop: Crop | None = None
    turned: bool = False


async def sources(
    service: Service, collection: Collection, pictures: Pictures
) -> tuple[list[Source], list[Source]]:
    """Wanted and unwanted pictures for `Reader.question` of one collection.

    Uploads and regions are decoded in a worker process. Raises RequestError, Unreadable,
    Unsuitable.
    """
    records: dict[int, Record] = {}
    ids = [int(one) for one in (*pictures.like, *pictures.unlike) if not isinstance(one, str)]
    if collection is not service.collection:
        if pictures.vector is not None:
            raise RequestError(400, "a vector belongs to one encoder", "compare with pictures")
        records = await service.collection.read(partial(_records, ids=ids))
    side, keys = await collection.read(partial(_keys, ids=ids, records=records))
    decode = partial(_decode, service, side)
    like: list[Source] = []
    unlike: list[Source] = []
    for one in pictures.like:
        plain = pictures.crop is None and not pictures.turned
        key = keys.get(one) if plain and not isinstance(one, str) else None
        like.append(await decode(one, pictures.crop, borders=True) if key is None else key)
    for one in pictures.unlike:
        key = keys.get(one) if not (pictures.turned or isinstance(one, str)) else None
        unlike.append(await decode(one, None, borders=False) if key is None else key)
    if pictures.vector is not None:
        like.append(np.array(pictures.vector, np.float32))
    return like, unlike


def _records(index: Reader, ids: Sequence[int]) -> dict[int, Record]:
    return {id: record_of(index, id) for id in ids}


def _keys(
    index: Reader, ids: Sequence[int], records: Mapping[int, Record]
) -> tuple[int, dict[int, Source]]:
    """The side of the encoder's squares, and the stored keys of photos by our ids.

    records: of photos of another index, which this one knows by their content, if at all.
    """
    keys: dict[int, Source] = {}
    for id in ids:
        if id in records:
            own = index.snapshot.id_of(records[id].digest)
        else:
            record_of(index, id)
            own = id
        if own is not None:
            keys[id] = index.keys([own])[0]
    return index.encoder.side, keys


async def _decode(
    service: Service, side: int, one: int | str, crop: Crop | None, borders: bool
) -> Source:
    """The squares of an upload, or of a photo's file."""
    decode = partial(service.decoders.squares, side=side, crop=crop, borders=borders)
    return await decoded(service, one, decode)


async def decoded(service: Service, one: int | str, decode: Callable[..., T]) -> T:
    """The result of a decoder for an upload, or for a photo's file.

    decode: takes the bytes or the path, and `limits`. Raises RequestError, Unreadable, Unsuitable.
    """
    if isinstance(one, str):
        data = service.uploads.get(one)
        try:
            return await service.in_thread(lambda: decode(data, limits=service.limits))
        except Unreadable as error:
            hint = error.hint or "send another file: JPEG, PNG, WebP, HEIC, TIFF and others"
            raise RequestError(422, f"cannot read the picture: {error.what}", hint) from error
    record = await service.collection.read(lambda index: record_of(index, int(one)))
    path = existing_first(record.paths)[0]
    if not os.path.exists(path):
        raise RequestError(404, "the photo's file is missing", "plug in its disk, or index again")
    return await service.in_thread(lambda: decode(path))
