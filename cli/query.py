"""mocosearch query: the photos nearest to an image."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.display import say, show, show_json, show_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexes import Match
    from indexes.segments import Keys
    from mocosearch.encoder import Encoder
    from mocosearch.photos.decode import Pixels


def query(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Picture files; - reads stdin.")
    ],
    index: Annotated[str, typer.Option(help="Name or path of the index.")] = "default",
    top: Annotated[int, typer.Option("-k", "--top", min=1, help="How many results.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print paths alone.")] = False,
    print0: Annotated[
        bool, typer.Option("-0", "--print0", help="Print paths, each ended by a zero byte.")
    ] = False,
    gallery: Annotated[
        Path | None, typer.Option(help="Write the results as one HTML page with pictures.")
    ] = None,
) -> None:
    """Find the photos that look like an image; of several images, like their mean.

    Example: mocosearch query beach.jpg -k 20
    """
    begun = time.perf_counter()
    from indexes import Index
    from mocosearch.errors import NoPhotos

    with Index.open(index) as opened:
        if opened.count == 0:
            raise NoPhotos("the index is empty", "fill it: mocosearch index PHOTOS")
        encoder = opened.encoder
        encoder.prepare()
        opened.prepare()
        data, pixels = zip(*(read_image(image, encoder.side) for image in images), strict=True)
        encoding = time.perf_counter()
        key = mean_key(encoder, pixels)
        searching = time.perf_counter()
        matches = opened.query(key, top)[0]
        done = time.perf_counter()
    if gallery is not None:
        from cli.gallery import Row, write

        write(gallery, [Row(data[0], images[0], matches)])
        say(f"gallery: {gallery}")
    if json:
        seconds = {
            "total": time.perf_counter() - begun,
            "encode": searching - encoding,
            "search": done - searching,
        }
        results = [_plain(rank, match) for rank, match in enumerate(matches, 1)]
        show_json({"query": images, "index": index, "results": results, "seconds": seconds})
    elif paths or print0:
        for match in matches:
            show_raw(match.record.paths[0], b"\0" if print0 else b"\n")
    else:
        for rank, match in enumerate(matches, 1):
            more = len(match.record.paths) - 1
            copies = f"  (+{more} {'copy' if more == 1 else 'copies'})" if more else ""
            show(f"{rank:3}  {match.score:.3f}  {match.record.paths[0]}{copies}")


def mean_key(encoder: "Encoder", pixels: "Sequence[Pixels]") -> "Keys":
    """The unit mean of the keys of some pictures of the encoder's side: float32 (1, d)."""
    import numpy as np

    mean = encoder.encode(np.stack(pixels)).mean(0, keepdims=True)
    unit: Keys = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return unit


def read_image(image: str, side: int) -> "tuple[bytes, Pixels]":
    """An image's bytes and pixels. Raises Unreadable, with the image's name."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode, read

    formats = "name a JPEG, PNG, WebP, HEIC or TIFF file"
    try:
        data = sys.stdin.buffer.read() if image == "-" else read(image)
        if not data:
            raise Unreadable("it is no picture")
        return data, decode(data, side).pixels
    except Unreadable as error:
        raise Unreadable(f"cannot read {image}: {error.what}", formats) from error


def _plain(rank: int, match: "Match") -> dict[str, Any]:
    record = match.record
    return {
        "rank": rank,
        "score": match.score,
        "path": record.paths[0],
        "id": match.id,
        "width": record.width,
        "height": record.height,
        "taken": record.taken,
    }
