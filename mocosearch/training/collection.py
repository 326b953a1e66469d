"""The photos of a run: decoded for the views, and a sample for the whitening."""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mocosearch.encoder.runtime import Encoder
from mocosearch.errors import Mismatch, NoPhotos, Unsuitable
from mocosearch.home import home
from mocosearch.photos.cache import PixelCache, pixel_cache
from mocosearch.photos.decode import Pixels
from mocosearch.photos.formats import looks_like_picture
from mocosearch.photos.scan import FileStat, ScanReport, scan
from mocosearch.training.answers import Lessons, lessons
from mocosearch.training.loop import Progress
from mocosearch.training.plan import Plan
from mocosearch.training.recipes import WHITENING_PHOTOS, Recipe
from mocosearch.training.teacher import Keys, join, keys_to_resume, teacher_keys


@dataclass(frozen=True)
class Files:
    """The files below the folders of a run."""

    files: list[FileStat]
    unreadable: list[str]
    """Folders that could not be listed."""

    @property
    def pictures(self) -> int:
        """The number of files with a picture's name."""
        return sum(looks_like_picture(b"", file.path) for file in self.files)


@dataclass(frozen=True)
class Collection:
    """Decoded photos.

    cache: all readable photos at the recipe's `cache_side`, and which files were skipped.
    sample: uint8 (n, encode_side, encode_side, 3), random photos for the whitening.
    teachers, keys, sample_keys: the teachers' fingerprints and their keys of the photos, float16
        (n, d), in the order of `cache` and of `sample`; empty and None without a teacher.
    lessons, answered: a person's answers about the photos, and uint8 (m, encode_side, encode_side,
        3), the photos that judge a network by them; None without answers.
    """

    cache: PixelCache
    sample: Pixels
    teachers: tuple[str, ...] = ()
    keys: Keys | None = None
    sample_keys: Keys | None = None
    lessons: Lessons | None = None
    answered: Pixels | None = None


def find_files(roots: Sequence[str]) -> Files:
    """All files below some folders."""
    scan_report = ScanReport()
    return Files(list(scan(roots, scan_report=scan_report)), scan_report.unreadable)


def check_cache_limit(recipe: Recipe, pictures: int, limit: int) -> None:
    """Raises Unsuitable if the decoded photos would take more than `limit` bytes on disk."""
    need = recipe.cache_bytes(pictures)
    if need > limit:
        folder = next(folder for folder in (home(), *home().parents) if folder.exists())
        free = shutil.disk_usage(folder).free / 1e9
        raise Unsuitable(
            f"{pictures} decoded photos take {need / 1e9:.1f} GB, --cache-size allows "
            f"{limit / 1e9:.1f}",
            f"use --cache-size {math.ceil(need / 1e9)}G ({free:.1f} GB of disk space are free), "
            "or train at a smaller --size",
        )


def decode_collection(
    files: Sequence[FileStat],
    plan: Plan,
    cache_bytes: int,
    state: dict[str, Any] | None,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
    teachers: Sequence[Encoder] = (),
) -> Collection:
    """Decode the photos, or read them from the cache of an earlier run.

    state: the checkpoint of the run to resume; None for a new run, which also retries files that
        were skipped for a temporary cause.
    teachers: their keys are computed as well; a run to resume reads those it started with.

    Raises NoPhotos for fewer than 2 readable photos, NotFound if the keys of the run to resume are
    gone, Mismatch if the photos are not those of the run to resume, Unsuitable if they exceed
    `cache_bytes`, and KeyboardInterrupt if stopped.
    """

    def decode(
        stage: str, files: Sequence[FileStat], side: int, other: PixelCache | None
    ) -> PixelCache:
        count = _counter(stage, len(files), report, stopped)
        retry = state is None
        return pixel_cache(files, side, home() / "cache", count, cache_bytes, other, retry=retry)

    cache = decode("photos", files, plan.recipe.cache_side, None)
    n = len(cache.pixels)
    if n < 2:
        raise NoPhotos(f"{n} readable photos, training needs at least 2", "name a larger folder")
    if state is not None and (state["photos"], state.get("readable", n)) != (cache.name, n):
        raise Mismatch(
            "the photos are not those that the run started with",
            "train under another --name, or start a new run without --resume",
        )
    sample = decode("sample", _sample(files, cache, plan.seed), plan.recipe.encode_side, cache)
    taught, answered = None, None
    if plan.answers is not None:
        taught = lessons(plan.answers, cache.paths, cache.bursts, plan.seed)
        paths = {cache.paths[row] for row in taught.held_out.rows}
        some = [file for file in files if file.path in paths]
        answered = decode("answers", some, plan.recipe.encode_side, cache).pixels
    resumed: Sequence[str] = [] if state is None else state.get("teacher_keys", [])
    fingerprints = tuple(resumed) or tuple(teacher.fingerprint for teacher in teachers)
    if not fingerprints:
        return Collection(cache, sample.pixels, lessons=taught, answered=answered)
    folder = home() / "cache"
    if resumed:
        keys = keys_to_resume(cache, folder, fingerprints)
    else:
        count = _counter("teacher", n * len(teachers), report, stopped)
        keys = join([teacher_keys(each, files, cache, folder, count) for each in teachers])
    row_of = {path: row for row, path in enumerate(cache.paths)}
    rows = [row_of[path] for path in sample.paths]
    teachers_keys = (fingerprints, keys, keys[rows])
    return Collection(cache, sample.pixels, *teachers_keys, taught, answered)


def _counter(
    stage: str, total: int, report: Callable[[Progress], None], stopped: Callable[[], bool]
) -> Callable[[int], None]:
    done = 0

    def count(photos: int) -> None:
        nonlocal done
        done += photos
        if stopped():
            raise KeyboardInterrupt  # There is no trained network to export yet.
        report(Progress(stage, done, total))

    return count


def _sample(files: Sequence[FileStat], cache: PixelCache, seed: int) -> list[FileStat]:
    """Random readable photos, at most WHITENING_PHOTOS, in the order of the files."""
    rows = np.random.default_rng(seed).permutation(len(cache.paths))[:WHITENING_PHOTOS]
    paths = {cache.paths[row] for row in rows}
    return [file for file in files if file.path in paths]
