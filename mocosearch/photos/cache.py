"""Each photo decoded once, kept as small pixels in one file that training reads at random."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocosearch.errors import Unsuitable
from mocosearch.photos.bursts import bursts
from mocosearch.photos.decode import Pixels
from mocosearch.photos.reading import read_photos
from mocosearch.photos.scan import FileStat
from mocosearch.photos.worker import Photo

FORMAT = 2
LIMIT = 8 * 1024**3
"""Bytes that all pixel caches together may take where nothing else is said."""


@dataclass(frozen=True)
class PixelCache:
    """`pixels` uint8 (n, side, side, 3), memory-mapped from `file`; `paths` of the n photos, in
    order; `bursts` int64 (n,), one number for photos of one burst; `skipped`, a reason for each
    file that is named like a photo and cannot be read; `name`, the same for the same files, by
    path, size and mtime, at the same side.
    """

    name: str
    file: Path
    pixels: Pixels
    paths: list[str]
    bursts: NDArray[np.int64]
    skipped: dict[str, str]


def pixel_cache(
    photos: Sequence[FileStat],
    side: int,
    folder: Path,
    advanced: Callable[[int], None] = lambda photos: None,
    limit: int = LIMIT,
    beside: PixelCache | None = None,
    *,
    again: bool = True,
) -> PixelCache:
    """The photos' pixels, decoded now or read back from an earlier run.

    The file is named after the list of photos with their sizes and times, so that the same
    collection is decoded once; it is written beside its place and renamed when whole.
    `advanced(n)` hears of every n files done. All caches in the folder together take at most
    `limit` bytes, the oldest going first; raises Unsuitable where this one takes more, or it and
    `beside`, another of the same folder that is in use and stays.

    again: files that were skipped for what may have passed, such as a disk that did not answer,
    are tried again, and where one can be read now, all are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    name = _digest([f"{FORMAT} {side}", *(f"{p.path}\0{p.size}\0{p.mtime}" for p in photos)], 10)
    # An index tells by it, too, what was replaced with its size and mtime kept.
    changed = _digest([str(photo.changed) for photo in photos], 5)
    whole = folder / f"pixels-{name}-{changed}.u8"
    kept = {whole} if beside is None else {whole, beside.file}
    room = limit if beside is None or beside.file == whole else limit - beside.pixels.nbytes

    def check(size: int) -> None:
        if size > room:
            raise Unsuitable(
                f"the photos' pixels take more than {limit / 1e9:.1f} GB",
                "allow more with --cache-size, or train at a smaller --size",
            )

    told = _contents(whole)
    if told is None or (again and _more_can_be_read(told, photos, side, advanced)):
        _decode(photos, side, whole, advanced, check)
        told = json.loads(whole.with_suffix(".json").read_text())
    check(whole.stat().st_size)
    os.utime(whole)
    _forget_oldest(folder, kept, room - whole.stat().st_size)
    shape = (len(told["paths"]), side, side, 3)
    pixels = (
        np.memmap(whole, np.uint8, "r", shape=shape) if told["paths"] else np.empty(shape, "u1")
    )
    numbers = np.array(told["bursts"], np.int64)
    return PixelCache(name, whole, pixels, told["paths"], numbers, told["refused"])


def _digest(lines: Sequence[str], size: int) -> str:
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=size).hexdigest()


def _contents(whole: Path) -> dict[str, Any] | None:
    """What a cache holds, where it is whole."""
    if not (whole.exists() and whole.with_suffix(".json").exists()):
        return None
    told: dict[str, Any] = json.loads(whole.with_suffix(".json").read_text())
    return told


def _decode(
    photos: Sequence[FileStat],
    side: int,
    whole: Path,
    advanced: Callable[[int], None],
    check: Callable[[int], None],
) -> None:
    part = whole.with_name(f".{whole.stem}.{os.getpid()}")
    paths: list[str] = []
    taken: list[str | None] = []
    cameras: list[str | None] = []
    skipped: dict[str, str] = {}
    try:
        with open(part, "wb") as file:
            for photo, outcome in read_photos(photos, side):
                if isinstance(outcome, str):
                    skipped[photo.path] = outcome
                elif outcome is not None:
                    facts = outcome.picture.facts
                    paths.append(photo.path)
                    taken.append(facts.taken)
                    cameras.append(facts.camera)
                    file.write(np.ascontiguousarray(outcome.picture.pixels).data)
                    check(file.tell())
                advanced(1)
        told = {"paths": paths, "bursts": bursts(taken, cameras).tolist(), "refused": skipped}
        # Whatever ends this here, contents and pixels of two runs never stand side by side.
        whole.unlink(missing_ok=True)
        whole.with_suffix(".json").write_text(json.dumps(told))
        os.replace(part, whole)
    finally:
        part.unlink(missing_ok=True)


def _more_can_be_read(
    told: dict[str, Any], photos: Sequence[FileStat], side: int, advanced: Callable[[int], None]
) -> bool:
    once = {path for path, reason in told["refused"].items() if _may_have_passed(reason)}
    for _, outcome in read_photos([photo for photo in photos if photo.path in once], side):
        advanced(0)
        if isinstance(outcome, Photo):
            return True
    return False


def _may_have_passed(reason: str) -> bool:
    """Whether it was the time, the process or the system, and not the file itself."""
    systems = {os.strerror(number) for number in errno.errorcode}
    return reason.startswith(("took longer than", "crashed the decoder")) or reason in systems


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed left half-written."""
    if os.name == "nt":
        return  # Nobody can be asked there whether a process lives.
    for part in folder.glob(".pixels-*"):
        try:
            os.kill(int(part.suffix[1:]), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except (ValueError, OSError):
            continue


def _forget_oldest(folder: Path, kept: set[Path], room: int) -> None:
    others = set(folder.glob("pixels-*.u8")) - kept
    for file in sorted(others, key=lambda p: p.stat().st_mtime, reverse=True):
        room -= file.stat().st_size
        if room < 0:
            file.unlink(missing_ok=True)
            file.with_suffix(".json").unlink(missing_ok=True)
