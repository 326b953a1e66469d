"""The pixel cache: each photo decoded once and stored small, in one file for random access."""

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
from mocosearch.photos.decode import Pixels
from mocosearch.photos.failures import is_temporary
from mocosearch.photos.metadata.bursts import bursts
from mocosearch.photos.scan import FileStat
from mocosearch.photos.workers.reading import read_photos
from mocosearch.photos.workers.worker import Photo

FORMAT = 2
LIMIT = 8 * 1024**3
"""Default for the bytes that all pixel caches may take together."""


@dataclass(frozen=True)
class PixelCache:
    """The small pixels of a list of photos.

    `pixels` is uint8 (n, side, side, 3), memory-mapped from `file`. `paths` are those of the n
    photos, in order. `bursts` is int64 (n,), one number for photos of one burst. `skipped` has a
    reason for each file that is named like a photo and cannot be read. `name` depends on the path,
    size and mtime of each file, and on the side.
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
    progress: Callable[[int], None] = lambda count: None,
    limit: int = LIMIT,
    other: PixelCache | None = None,
    *,
    retry: bool = True,
) -> PixelCache:
    """The photos' pixels, decoded now or read from an earlier run's cache in `folder`.

    The file is named after the photos with their sizes and times, so that a collection is decoded
    once. It is written under a temporary name and renamed when complete. `progress(n)` is called
    after every n files. All caches in the folder together take at most `limit` bytes: the oldest
    are removed. Raises Unsuitable if this cache alone is larger, or this and `other`, a cache in
    the same folder that is in use and not removed.

    retry: read files again that were skipped for a temporary cause
    (`failures.is_temporary`). If one of them can be read now, all photos are decoded again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_partial_files(folder)
    name = _digest([f"{FORMAT} {side}", *(f"{p.path}\0{p.size}\0{p.mtime}" for p in photos)], 10)
    # Part of the file's name only: it shows files that were replaced with the same size and mtime.
    changes = _digest([str(photo.changed) for photo in photos], 5)
    file = folder / f"pixels-{name}-{changes}.u8"
    in_use = {file} if other is None else {file, other.file}
    available = limit if other is None or other.file == file else limit - other.pixels.nbytes

    def check(size: int) -> None:
        if size > available:
            raise Unsuitable(
                f"the pixels of the photos take more than {limit / 1e9:.1f} GB",
                "allow more with --cache-size, or train at a smaller --size",
            )

    contents = _contents(file)
    if contents is None or (retry and _more_can_be_read(contents, photos, side, progress)):
        contents = _decode(photos, side, file, progress, check)
    check(file.stat().st_size)
    os.utime(file)
    _remove_oldest(folder, in_use, available - file.stat().st_size)
    shape = (len(contents["paths"]), side, side, 3)
    pixels = (
        np.memmap(file, np.uint8, "r", shape=shape) if contents["paths"] else np.empty(shape, "u1")
    )
    numbers = np.array(contents["bursts"], np.int64)
    return PixelCache(name, file, pixels, contents["paths"], numbers, contents["skipped"])


def _digest(lines: Sequence[str], size: int) -> str:
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=size).hexdigest()


def _contents(file: Path) -> dict[str, Any] | None:
    """What describes a cache's pixels; None if the cache is incomplete or of an older version."""
    if not (file.exists() and file.with_suffix(".json").exists()):
        return None
    contents: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    return contents if contents.keys() == {"paths", "bursts", "skipped"} else None


def _decode(
    photos: Sequence[FileStat],
    side: int,
    file: Path,
    progress: Callable[[int], None],
    check: Callable[[int], None],
) -> dict[str, Any]:
    """Decode the photos into the file; returns its contents. Raises what `check` raises."""
    partial = file.with_name(f".{file.stem}.{os.getpid()}")
    paths: list[str] = []
    taken: list[str | None] = []
    cameras: list[str | None] = []
    skipped: dict[str, str] = {}
    try:
        with open(partial, "wb") as output:
            for stat, result in read_photos(photos, side):
                if isinstance(result, str):
                    skipped[stat.path] = result
                elif result is not None:
                    facts = result.picture.facts
                    paths.append(stat.path)
                    taken.append(facts.taken)
                    cameras.append(facts.camera)
                    output.write(np.ascontiguousarray(result.picture.pixels).data)
                    check(output.tell())
                progress(1)
        contents = {"paths": paths, "bursts": bursts(taken, cameras).tolist(), "skipped": skipped}
        # In this order, contents and pixels of two runs are never together, even after a crash.
        file.unlink(missing_ok=True)
        file.with_suffix(".json").write_text(json.dumps(contents))
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return contents


def _more_can_be_read(
    contents: dict[str, Any],
    photos: Sequence[FileStat],
    side: int,
    progress: Callable[[int], None],
) -> bool:
    """Whether a file can be read now that was skipped for a temporary cause."""
    temporary = {path for path, reason in contents["skipped"].items() if is_temporary(reason)}
    for _, result in read_photos([photo for photo in photos if photo.path in temporary], side):
        progress(0)
        if isinstance(result, Photo):
            return True
    return False


def _remove_partial_files(folder: Path) -> None:
    """Remove the incomplete files of processes that were killed."""
    if os.name == "nt":
        return  # On Windows, os.kill(pid, 0) would end the process.
    for partial in folder.glob(".pixels-*"):
        try:
            os.kill(int(partial.suffix[1:]), 0)
        except ProcessLookupError:
            partial.unlink(missing_ok=True)
        except (ValueError, OSError):
            continue


def _remove_oldest(folder: Path, in_use: set[Path], available: int) -> None:
    others = set(folder.glob("pixels-*.u8")) - in_use
    for file in sorted(others, key=lambda p: p.stat().st_mtime, reverse=True):
        available -= file.stat().st_size
        if available < 0:
            file.unlink(missing_ok=True)
            file.with_suffix(".json").unlink(missing_ok=True)
