"""What a search is made with: photos by id, uploads by handle, or a vector, as keys or squares."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cli.web.collection import Collection
from cli.web.errors import RequestError
from cli.web.photos import record_of
from cli.web.service import Service
from indexes import Crop, Index
from indexes.search.answer import existing_first
from indexes.search.question import Source
from mocosearch.errors import Unreadable


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
    """Wanted and unwanted pictures for `Index.question` of one collection.

    Uploads and regions are decoded in a worker process. Raises RequestError, Unreadable,
    Unsuitable.
    """
    ask = partial(_source, service, collection, pictures)
    like = [await ask(one, pictures.crop, borders=True) for one in pictures.like]
    unlike = [await ask(one, None, borders=False) for one in pictures.unlike]
    if pictures.vector is not None:
        if collection is not service.collection:
            raise RequestError(400, "a vector belongs to one encoder", "compare with pictures")
        like.append(np.array(pictures.vector, np.float32))
    return like, unlike


async def _source(
    service: Service,
    collection: Collection,
    pictures: Pictures,
    one: int | str,
    crop: Crop | None,
    borders: bool,
) -> Source:
    side = await collection.read(lambda index: index.encoder.side)
    decode = partial(service.decoders.squares, side=side, crop=crop, borders=borders)
    if isinstance(one, str):
        data = service.uploads.get(one)
        try:
            return await service.in_thread(lambda: decode(data, limits=service.limits))
        except Unreadable as error:
            raise RequestError(422, f"cannot read the picture: {error.what}") from error
    record = await service.collection.read(lambda index: record_of(index, int(one)))
    if crop is None and not pictures.turned:
        key = await collection.read(partial(_key, digest=record.digest))
        if key is not None:
            return key
    path = existing_first(record.paths)[0]
    return await service.in_thread(lambda: decode(path))


def _key(index: Index, digest: str) -> Source | None:
    """The stored key of a file's content; None where the index does not have it."""
    id = index.snapshot.id_of(digest)
    if id is None:
        return None
    key: Source = index.keys([id])[0]
    return key
