"""A frozen encoder's keys of the photos that a student is to learn from."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image

from mocosearch.encoder.card import NOTHING, OWN
from mocosearch.encoder.refit import FEW, Refit
from mocosearch.encoder.runtime import Encoder
from mocosearch.errors import NotFound, Unsuitable
from mocosearch.photos.cache import PixelCache
from mocosearch.photos.decode import Pixels
from mocosearch.photos.scan import FileStat
from mocosearch.photos.workers.reading import read_photos
from mocosearch.photos.workers.worker import Photo
from mocosearch.training.recipes import SEED, Recipe

BATCH = 16
"""Photos encoded in one call; with more, their maps leave the processor's cache."""
FITTED_ON = 2048
"""Photos that the teacher's whitening is fitted on, as many as an index takes."""

Keys = NDArray[np.float16]


def teacher_name(teacher: Encoder) -> str:
    """The teacher as the card of its student names it."""
    card = teacher.card
    return f"{card.architecture} ({card.parent or card.fingerprint})"


def recipe_with_teacher(recipe: str | Recipe, epochs: int | None) -> Recipe:
    """The settings for learning from a teacher. Raises Unsuitable for a recipe of MoCo, and for
    no epochs.
    """
    if epochs == 0:
        raise Unsuitable("0 epochs teach nothing", "omit the teacher, or give it epochs")
    if isinstance(recipe, Recipe) and recipe.T_teacher:
        return recipe
    if recipe not in ("auto", SEED.name):
        name = recipe if isinstance(recipe, str) else recipe.name
        raise Unsuitable(f"recipe {name} has no teacher", "omit the recipe, or the teacher")
    return SEED


def teacher_keys(
    teacher: Encoder,
    files: Sequence[FileStat],
    cache: PixelCache,
    folder: Path,
    count: Callable[[int], None] = lambda photos: None,
) -> Keys:
    """The teacher's keys of the cached photos, computed now or read from an earlier run's file.

    The teacher looks at the photos at its own side. A whitening that was not fitted on the
    user's photos is fitted on FITTED_ON of these first, as an index does. If it is stopped, the
    next call continues with the keys that are missing.

    files: where the photos lie. count(n): called after every n photos.
    folder: of the keys' files. They are deleted once no pixels of the same photos are there.
    Returns float16 (n, d) of unit length, in the order of `cache.paths`. Raises Unsuitable for
    a teacher without a whitening and fewer than FEW photos to fit one on.
    """
    _forget(folder)
    whole = _file(folder, cache, teacher.fingerprint)
    n = len(cache.paths)
    if whole.is_file():
        count(n)
        return _read(whole)
    by_path = {file.path: file for file in files}
    photos = [by_path[path] for path in cache.paths]
    teacher = _whitened(teacher, photos, cache)
    part = whole.with_name(f".{whole.name}")
    keys = _partial(part, (n, teacher.dimension))
    missing = np.flatnonzero(~keys.any(axis=1)).tolist()
    count(n - len(missing))
    for rows, pixels in _pixels(photos, missing, cache, teacher.side):
        keys[rows] = teacher.encode(pixels)
        count(len(rows))
    keys.flush()
    os.replace(part, whole)
    return _read(whole)


def keys_to_resume(cache: PixelCache, folder: Path, fingerprints: Sequence[str]) -> Keys:
    """The keys that a run began with, of one or several teachers. Raises NotFound where some are
    gone.
    """
    files = [_file(folder, cache, fingerprint) for fingerprint in fingerprints]
    for file in files:
        if not file.is_file():
            gone = f"the teacher's keys are gone: {file}"
            raise NotFound(gone, "start a new run, with --teacher")
    return join([_read(file) for file in files])


def join(keys: Sequence[Keys]) -> Keys:
    """The keys of several teachers as one, of unit length: float16 (n, sum of their d).

    Their cosine is the mean of the teachers' cosines.
    """
    if len(keys) == 1:
        return keys[0]
    joined: Keys = np.concatenate(keys, 1)
    joined *= np.float16(len(keys) ** -0.5)
    return joined


def _partial(file: Path, shape: tuple[int, int]) -> "np.memmap[Any, np.dtype[np.float16]]":
    """Keys of an unfinished call, with rows of zeros where they are missing, or such rows alone."""
    try:
        keys = open_memmap(file, mode="r+")
        if keys.shape == shape and keys.dtype == np.float16:
            return keys
    except (OSError, ValueError):
        pass
    return open_memmap(file, mode="w+", dtype=np.float16, shape=shape)


def _read(file: Path) -> Keys:
    keys: Keys = np.load(file, mmap_mode="r")
    return keys


def _file(folder: Path, cache: PixelCache, fingerprint: str) -> Path:
    return folder / f"keys-{cache.name}-{fingerprint}.npy"


def _whitened(teacher: Encoder, photos: Sequence[FileStat], cache: PixelCache) -> Encoder:
    if teacher.card.whitening == OWN:
        return teacher
    if teacher.card.whitening == NOTHING and len(photos) < FEW:
        raise Unsuitable(
            f"{len(photos)} photos are too few to fit the teacher's whitening on",
            f"name a folder with {FEW}, or a teacher out of an index of more photos",
        )
    refit = Refit(teacher)
    chosen = np.linspace(0, len(photos) - 1, min(FITTED_ON, len(photos))).astype(int).tolist()
    parts = [refit.features(pixels) for _, pixels in _pixels(photos, chosen, cache, teacher.side)]
    return refit.fit(np.concatenate(parts))[0]


def _pixels(
    photos: Sequence[FileStat], rows: Sequence[int], cache: PixelCache, side: int
) -> Iterator[tuple[list[int], Pixels]]:
    """Rows of the cache in batches, each with its photos as uint8 (n, side, side, 3)."""
    outcome_of = read_photos([photos[row] for row in rows], side)
    for start in range(0, len(rows), BATCH):
        batch = list(rows[start : start + BATCH])
        pictures = []
        for row, (_, outcome) in zip(batch, outcome_of, strict=False):
            if isinstance(outcome, Photo):
                pictures.append(outcome.picture.pixels)
            else:
                # It could be read when the cache was written: its smaller copy is at hand.
                small = Image.fromarray(np.array(cache.pixels[row]))
                pictures.append(np.asarray(small.resize((side, side))))
        yield batch, np.stack(pictures)


def _forget(folder: Path) -> None:
    """Delete keys whose photos have no pixels in the folder any more."""
    for file in (*folder.glob("keys-*.npy"), *folder.glob(".keys-*.npy")):
        name = file.name.split("-")[1]
        if not any(folder.glob(f"pixels-{name}-*.u8")):
            file.unlink(missing_ok=True)


def agreement(student: NDArray[np.float32], teacher: NDArray[np.floating], k: int = 10) -> float:
    """The share, 0..1, of each photo's k nearest by the teacher's keys that are among its k
    nearest by the student's: a measure without labels of how much was learned.

    student, teacher: (n, d) and (n, D) of unit length, rows of the same n photos, n > 1.
    """
    k = min(k, len(student) - 1)

    def nearest(keys: NDArray[np.float32]) -> NDArray[np.int64]:
        cosines = keys @ keys.T
        np.fill_diagonal(cosines, -np.inf)
        return np.argpartition(-cosines, k - 1, axis=1)[:, :k]

    rows = zip(nearest(student), nearest(teacher.astype(np.float32)), strict=True)
    return float(np.mean([len(np.intersect1d(ours, theirs)) / k for ours, theirs in rows]))
