"""Each photo decoded once, kept as small pixels in one file that training reads at random."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocosearch.errors import Unsuitable
from mocosearch.photos.bursts import bursts
from mocosearch.photos.decode import Pixels
from mocosearch.photos.reading import outcomes
from mocosearch.photos.scan import Found

FORMAT = 2
LIMIT = 8 * 1024**3
"""Bytes that all pixel caches together may take where nothing else is said."""


@dataclass(frozen=True)
class PixelCache:
    """`pixels` uint8 (n, side, side, 3), memory-mapped; `paths` of the n photos, in order;
    `bursts` int64 (n,), one number for photos of one burst; `refused`, a reason for each file
    that is named like a photo and cannot be read; `name`, the same for the same files at the
    same side.
    """

    name: str
    pixels: Pixels
    paths: list[str]
    bursts: NDArray[np.int64]
    refused: dict[str, str]


def pixel_cache(
    photos: Sequence[Found],
    side: int,
    folder: Path,
    advanced: Callable[[int], None] = lambda photos: None,
    limit: int = LIMIT,
) -> PixelCache:
    """The photos' pixels, decoded now or read back from an earlier run.

    The file is named after the list of photos with their sizes and times, so that the same
    collection is decoded once; it is written beside its place and renamed when whole.
    `advanced(n)` hears of every n files done. All caches in the folder together take at most
    `limit` bytes, the oldest going first; raises Unsuitable where this one alone takes more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = f"{FORMAT} {side}\n" + "\n".join(f"{p.path}\0{p.size}\0{p.mtime}" for p in photos)
    name = hashlib.blake2b(described.encode(errors="surrogateescape"), digest_size=10).hexdigest()
    whole, contents = folder / f"pixels-{name}.u8", folder / f"pixels-{name}.json"
    if not (whole.exists() and contents.exists()):
        part = folder / f".pixels-{name}.{os.getpid()}"
        paths: list[str] = []
        taken: list[str | None] = []
        cameras: list[str | None] = []
        refused: dict[str, str] = {}
        try:
            with open(part, "wb") as file:
                for photo, outcome in outcomes(photos, side):
                    if isinstance(outcome, str):
                        refused[photo.path] = outcome
                    elif outcome is not None:
                        facts = outcome.picture.facts
                        paths.append(photo.path)
                        taken.append(facts.taken)
                        cameras.append(facts.camera)
                        file.write(np.ascontiguousarray(outcome.picture.pixels).data)
                        if file.tell() > limit:
                            raise Unsuitable(
                                f"the photos' pixels take more than {limit / 1e9:.1f} GB",
                                "allow more with --cache-size, or train at a smaller --size",
                            )
                    advanced(1)
            kept = {"paths": paths, "bursts": bursts(taken, cameras).tolist(), "refused": refused}
            contents.write_text(json.dumps(kept))
            os.replace(part, whole)
        finally:
            part.unlink(missing_ok=True)
    os.utime(whole)
    _forget_oldest(folder, whole, limit)
    told = json.loads(contents.read_text())
    shape = (len(told["paths"]), side, side, 3)
    pixels = (
        np.memmap(whole, np.uint8, "r", shape=shape) if told["paths"] else np.empty(shape, "u1")
    )
    numbers = np.array(told["bursts"], np.int64)
    return PixelCache(name, pixels, told["paths"], numbers, told["refused"])


def _forget_oldest(folder: Path, keep: Path, limit: int) -> None:
    files = sorted(folder.glob("pixels-*.u8"), key=lambda p: p.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > limit and file != keep:
            file.unlink(missing_ok=True)
            file.with_suffix(".json").unlink(missing_ok=True)
