"""Search for photos of which a picture is a part, as `query --part` does."""

import io
from functools import partial
from importlib.util import find_spec

from PIL import Image

from cli.web.api.sources import Pictures, decoded
from cli.web.http.errors import RequestError
from cli.web.service import Service
from indexes import Answer, Crop, Reader, Where

LONGEST = 1024
"""Pixels of the longest side at which the picture is decoded."""
WHOLE = Crop(0, 0, 1, 1, relative=True)


def has_parts(index: Reader) -> bool:
    """Whether parts can be found: the index has keys of regions, and OpenCV is installed."""
    return index.has_parts and find_spec("cv2") is not None


async def find_part(
    service: Service,
    pictures: Pictures,
    k: int,
    where: Where,
    min_score: float | None,
    significant_only: bool,
) -> tuple[Answer, str]:
    """The answer of `Index.find_part`, and the version of the index.

    The picture and the photos are decoded in processes of their own. Raises RequestError,
    Unreadable, Unsuitable.
    """
    if len(pictures.like) != 1 or pictures.unlike or pictures.vector or pictures.turned:
        raise RequestError(400, "part goes with one picture, without minus, turned and vector")
    decode_query = partial(service.decoders.png, longest=LONGEST, crop=pictures.crop)
    picture = await decoded(service, pictures.like[0], decode_query)

    def decode(path: str, side: int) -> Image.Image:
        return Image.open(io.BytesIO(service.decoders.png(path, side)))

    def work(index: Reader) -> tuple[Answer, str]:
        answer = index.part_index.find_part(
            picture,
            k,
            # A region has been cut out already; its borders belong to it.
            crop=None if pictures.crop is None else WHOLE,
            where=where,
            min_score=min_score,
            significant_only=significant_only,
            decode=decode,
        )
        return answer, index.snapshot.version

    return await service.collection.read(work)
