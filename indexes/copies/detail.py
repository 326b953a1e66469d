"""Whether two pictures that look alike are also equal in their detail, such as text and digits.

Two invoices of one layout have nearly equal keys and hashes. Here both pictures are read again at a
size at which text is legible, laid over each other, and compared window by window.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexes.copies.alignment import Grey, align, common_part, warp
from indexes.store.records import Record
from mocosearch.errors import Unreadable
from mocosearch.photos.decode import Pixels, decode_image, digest_of
from mocosearch.photos.perceptual import orientations

LEGIBLE = 750_000
"""Pixels of the pictures that are compared. On an A4 page, digits of 10 points are 9 pixels high;
a 12-megapixel JPEG is decoded at a quarter of its size."""
SKETCH = 200
"""Pixels of a sketch's longer side: the first, quick comparison."""
RECENT = 32
"""Pictures in memory at once, besides sketches."""

NOISE = 25.0
"""Contrast, 0..255, below which a difference counts little: JPEG's ripples around strokes."""
GAIN = 0.5, 2.0
"""Range of the local ratio of contrasts: brighter, flatter and grey copies are copies."""
DIFFERENT = 1.0
"""Least difference, 0..4, of two pictures with different detail. JPEG quality 60, half and a third
of the size, changed colours and black and white dots give up to 0.72; pages with other numbers or
words at least 1.3, also at a third of the size."""
OUTLIER, OUTLIER_RATIO = 0.45, 3.5
"""Least difference of a single changed digit, and its least ratio to what 1% of the windows with
structure exceed. Compression changes all strokes alike: there the ratio is at most 2.8."""
STRUCTURE = 8.0
"""Least contrast, 0..255, of a window with structure."""


class Details:
    """The pictures of some photos, read when they are needed.

    unread: the paths of files that could not be read, or no longer have the indexed content. Their
    photos are equal to nothing.
    """

    def __init__(self) -> None:
        self.unread: set[str] = set()
        self._sketches: dict[str, Pixels | None] = {}
        self._pictures: OrderedDict[str, Pixels | None] = OrderedDict()

    def equal_among(self, one: Record, others: Sequence[Record]) -> NDArray[np.bool_]:
        """Which of several photos agree with one in detail, bool (n,). Files are read in
        threads, except those of photos with the same pixels as the one.
        """
        equal = np.array([_have_equal_pixels(one, other) for other in others], bool)
        rows = np.flatnonzero(~equal).tolist()
        if not rows or self._sketch(one) is None:
            return equal
        # A few at a time: pictures are large.
        for first in range(0, len(rows), RECENT // 2):
            part = rows[first : first + RECENT // 2]
            self._read([others[row] for row in part])
            equal[part] = [self.equal(one, others[row]) for row in part]
        return equal

    def _read(self, records: Sequence[Record]) -> None:
        """Read the pictures of some photos that have no sketch yet."""
        missing = list({r.digest: r for r in records if r.digest not in self._sketches}.values())
        if len(missing) > 1:
            with ThreadPoolExecutor() as pool:
                for record, picture in zip(missing, pool.map(read_grey, missing), strict=True):
                    self._add(record, picture)

    def equal(self, one: Record, other: Record, way: int = 0) -> bool:
        """Whether two photos agree in detail; False where one cannot be read.

        way: the orientation of the other picture to compare, 0 to 7 as of `orientations`.
        """
        for view in (self._sketch, self._picture):
            if (a := view(one)) is None or (b := view(other)) is None:
                return False
            if differ(a, orientations(b)[way]):
                return False
            if max(a.shape) < SKETCH and max(b.shape) < SKETCH:
                # Both sketches are the whole pictures.
                return True
        return True

    def _sketch(self, record: Record) -> Pixels | None:
        if record.digest not in self._sketches:
            self._picture(record)
        return self._sketches[record.digest]

    def _picture(self, record: Record) -> Pixels | None:
        if record.digest not in self._pictures:
            self._add(record, read_grey(record))
        self._pictures.move_to_end(record.digest)
        return self._pictures[record.digest]

    def _add(self, record: Record, picture: Image.Image | None) -> None:
        if picture is None:
            self.unread |= set(record.paths)
        self._pictures[record.digest] = None if picture is None else np.asarray(picture)
        self._sketches[record.digest] = None if picture is None else _sketch_of(picture)
        while len(self._pictures) > RECENT:
            self._pictures.popitem(last=False)


def _have_equal_pixels(one: Record, other: Record) -> bool:
    """Whether two files were decoded to the same pixels, as after a change of the metadata."""
    return bool(one.pixels) and one.pixels == other.pixels


def read_grey(record: Record) -> Image.Image | None:
    """The picture in grey with at most LEGIBLE pixels, from the first file that still has it."""
    pixels = max(1, record.width * record.height)
    longest = math.ceil(max(record.width, record.height) * min(1.0, math.sqrt(LEGIBLE / pixels)))
    for path in record.paths:
        try:
            data = Path(path).read_bytes()
            if digest_of(data).hex() == record.digest:
                return decode_image(data, longest).convert("L")
        except (OSError, Unreadable):
            continue
    return None


def _sketch_of(picture: Image.Image) -> Pixels:
    small = picture.copy()
    small.thumbnail((SKETCH, SKETCH), Image.Resampling.BOX)
    return np.asarray(small)


def differ(one: Pixels, other: Pixels) -> bool:
    """Whether two grey pictures, uint8 (h, w) of any sizes, differ in detail.

    A picture whose edges are cut off a little is compared in what both show.
    """
    if one.shape == other.shape and np.array_equal(one, other):
        return False
    size = min(one.shape[1], other.shape[1]), min(one.shape[0], other.shape[0])
    a, b = _resized(one, size), _resized(other, size)
    if not _differ_in_place(a, b):
        return False
    moved = align(a, b)
    part = None if moved is None else common_part(a.shape, moved)
    if moved is None or part is None:
        return True
    return _differ_in_place(warp(a, moved)[part], b[part])


def _differ_in_place(a: Grey, b: Grey) -> bool:
    """The sharper picture is first filtered to the other's sharpness. What then differs in a
    window, with the best local gain, is divided by the contrast there: 0 for equal windows, 1 for
    unrelated ones, 2 for inverted ones.
    """
    a, b = _matched(a, b)
    peak = typical = 0.0
    for side in (5, 9):
        difference, contrast = _compare(a, b, side)
        peak += float(difference.max())
        structure = difference[contrast > STRUCTURE**2]
        typical += float(np.quantile(structure, 0.99)) if len(structure) else 0.0
    return peak > DIFFERENT or (peak > OUTLIER and peak > OUTLIER_RATIO * typical)


def _resized(picture: Pixels, size: tuple[int, int]) -> Grey:
    image = Image.fromarray(picture)
    if image.size != size:
        image = image.resize(size, Image.Resampling.HAMMING)
    return np.asarray(image, np.float32)


def _matched(a: Grey, b: Grey) -> tuple[Grey, Grey]:
    """The fine structure of both pictures, the sharper one's with the other's sharpness."""
    if _sharpness(a) < _sharpness(b):
        a, b = b, a
    blurs = _blurs(a)
    bands = np.stack([(blur - blurs[-1]).ravel() for blur in blurs[:-1]])
    fine = b - _blurs(b)[-1]
    # Least squares; the small addition keeps the matrix regular for a picture of one colour.
    products = (bands @ bands.T).astype(np.float64)
    products += (1e-4 * products[0, 0] + 1e-6) * np.eye(len(bands))
    weights = np.linalg.solve(products, (bands @ fine.ravel()).astype(np.float64))
    filtered: Grey = (weights.astype(np.float32) @ bands).reshape(a.shape)
    return filtered, fine


def _blurs(picture: Grey) -> list[Grey]:
    """The picture, and more and more blurred."""
    blurs = [picture]
    for side in (3, 3, 5, 9):
        blurs.append(_mean(blurs[-1], side))
    return blurs


def _sharpness(picture: Grey) -> float:
    axes = [axis for axis in (0, 1) if picture.shape[axis] > 1]
    edges = sum(float((np.diff(picture, axis=axis) ** 2).mean()) for axis in axes)
    return edges / (float(picture.var()) + 1)


def _compare(a: Grey, b: Grey, side: int) -> tuple[Grey, Grey]:
    """For the window around each pixel the difference, and the contrast of b as a variance."""
    mean_a, mean_b = _mean(a, side), _mean(b, side)
    variance_a = (_mean(a * a, side) - mean_a**2).clip(0)
    variance_b = (_mean(b * b, side) - mean_b**2).clip(0)
    common = _mean(a * b, side) - mean_a * mean_b
    gain = (common / (variance_a + 1)).clip(*GAIN)
    variance_a *= gain**2
    difference = (variance_a + variance_b - 2 * gain * common) / (
        variance_a + variance_b + NOISE**2
    )
    return difference, variance_b


def _mean(picture: Grey, side: int) -> Grey:
    """The mean of the side x side window around each pixel; side: a power of two plus 1."""
    sums = np.pad(picture, side // 2, "edge")
    for axis in (0, 1):
        sums = _sums(sums, side, axis)
    sums *= np.float32(1 / side**2)
    return sums


def _sums(values: Grey, count: int, axis: int) -> Grey:
    """The sum of each `count` consecutive values along an axis, by doubling."""

    def part(of: Grey, start: int, stop: int | None) -> Grey:
        return of[start:stop] if axis == 0 else of[:, start:stop]

    sums, length = values, 1
    while 2 * length < count:
        sums = part(sums, 0, -length) + part(sums, length, None)
        length *= 2
    total: Grey = part(sums, 0, values.shape[axis] - count + 1) + part(values, count - 1, None)
    return total
