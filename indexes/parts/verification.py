"""Is a picture a part of a photo, and where? Local features that agree on one similarity.

SIFT (Lowe 2004) with RootSIFT's distances (Arandjelovic and Zisserman 2012); the transform by
RANSAC. From OpenCV, which is imported here alone.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mocosearch.errors import Unsuitable

SIDE = 320
"""Longest side in pixels at which photos are compared."""
WINDOW = 224
"""Longest side in pixels of a part of a photo that is compared alone: half the time of a whole
photo, and 5% fewer small crops agree (docs/benchmarks.md)."""
SMALL, LARGE = 160, 320
"""Longest side of a query at least and at most; a smaller one is enlarged."""
FEATURES = 1000
"""Of a photo, at most. With 500, and twice the threshold, 53% of the crops of 5% of the area agree
with their photo, and 75% with these."""
RATIO = 0.85
"""Most that the distance to the nearest feature may be of that to the second nearest."""
TOLERANCE = 4.0
"""Pixels from where the transform puts a feature."""
LEAST = 6
"""Fewest agreeing features of a photo that contains the query. Of 720 pairs of other photos, 4 had
5 or more, and none 6 or more."""
CLEAR = 8
"""Agreeing features that are beyond chance, among the photos of a search too."""
SURE = 0.25
"""Share of agreeing features from which the query is a part of this very photo. Photos of one
crate, taken seconds apart, share up to .32; crops of 30% and their photo mostly .21 to .42."""
SCALES = 0.02, 8.0
"""Size of the query in the photo as a multiple of its own, at least and at most."""
GRID, INNER, PLAIN, MAX_DIFFERENCE, LIGHT = 24, 0.9, 0.6, 24, 70
"""What was trimmed from a query belongs to the photo if, of GRID x GRID points, the share INNER
lies in it and the share PLAIN has its usual colour to MAX_DIFFERENCE of 255, which differs by LIGHT
at most from that of the query. Pasted pictures have soft edges and other light."""
INSIDE = 0.5
"""Least share of the query's box that must lie in the photo."""

Features = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Places (n, 2) and descriptors (n, 128)."""


Box = tuple[float, float, float, float]
"""Left, top, width and height as shares of a photo's sides."""
Placement = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: the point (x, y) of a query is (a x + b y + c, d x + e y + f) of a photo, in
shares of the sides of both."""


@dataclass(frozen=True)
class Agreement:
    """Where a query lies in a photo.

    count: how many features agree. share: of the query's features, which tells a part of this very
    photo from the same thing on another one.
    box: left, top, width and height as shares of the photo's sides.
    inside: share of the query that lies in the photo.
    placement: where each point of the query is in the photo.
    """

    count: int
    share: float
    box: Box
    inside: float
    placement: Placement


@dataclass(frozen=True)
class Frame:
    """What was trimmed from a query: the whole picture, and the box of the query in it.

    It may be a frame, or a plain part of the photo: the colours around the query's place tell.
    """

    whole: Image.Image
    inner: Box


def opencv() -> Any:
    """The module. Raises Unsuitable where it is not installed."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise Unsuitable(
            "finding parts needs OpenCV, which is not installed", "pip install 'mocosearch[parts]'"
        ) from error


class Verifier:
    """Compares one query with photos; any number of threads may use it."""

    def __init__(
        self, query: Image.Image, mirrored: bool = True, frame: Frame | None = None
    ) -> None:
        """frame: where the query was trimmed. Raises Unsuitable without OpenCV."""
        self._cv2, self._frame = opencv(), frame
        self.picture = sized(query, SMALL, LARGE)
        self._ways = [self.features(self.picture)]
        if mirrored:
            self._ways.append(mirrored_features(self._ways[0], self.picture.width))

    def features(self, picture: Image.Image) -> Features:
        """Places and descriptors of a picture's local features."""
        sift = self._cv2.SIFT_create(nfeatures=FEATURES, contrastThreshold=0.01)
        points, rows = sift.detectAndCompute(np.asarray(picture.convert("L")), None)
        if rows is None:
            return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
        rows = np.sqrt(rows / np.maximum(rows.sum(1, keepdims=True), 1e-6))
        return np.array([point.pt for point in points], np.float32), rows

    def compare(self, photo: Image.Image, window: Box | None = None) -> Agreement | None:
        """Where the query lies in a photo; None where too few features agree.

        window: the part of the photo that is searched, as shares of its sides; by default all.
        """
        left, top, width, height = window or (0, 0, 1, 1)
        edges = left * photo.width, top * photo.height
        ends = edges[0] + width * photo.width, edges[1] + height * photo.height
        part = photo.crop((round(edges[0]), round(edges[1]), round(ends[0]), round(ends[1])))
        small = sized(part, 0, SIDE if window is None else WINDOW)
        scale = small.width / part.width, small.height / part.height
        places, rows = self.features(small)
        places += np.array([round(edges[0]) * scale[0], round(edges[1]) * scale[1]], np.float32)
        size = photo.width * scale[0], photo.height * scale[1]
        both = [
            self._agreement(way, (places, rows), size, mirrored=bool(number))
            for number, way in enumerate(self._ways)
        ]
        agreements = [one for one in both if one is not None]
        best = max(agreements, key=lambda one: one.count, default=None)
        if best is None or self._frame is None:
            return best
        return untrimmed(best, self._frame, photo)

    def _agreement(
        self, way: Features, there: Features, size: tuple[float, float], *, mirrored: bool
    ) -> Agreement | None:
        rows, columns = _matches(way[1], there[1])
        if len(rows) < LEAST:
            return None
        places, targets = way[0][rows], there[0][columns]
        matrix, inliers = self._cv2.estimateAffinePartial2D(
            places, targets, method=self._cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=2000
        )
        if matrix is None:
            return None
        mask = inliers.ravel().astype(bool)
        count = min(_distinct(places[mask]), _distinct(targets[mask]))
        place = _place(matrix, self.picture.size, size)
        if count < LEAST or place is None:
            return None
        share = count / max(1, _distinct(way[0]))
        placement = _placement(matrix, self.picture.size, size, mirrored=mirrored)
        return Agreement(count, share, *place, placement)


def sized(picture: Image.Image, least: int, most: int) -> Image.Image:
    """A picture whose longest side is in a range, of the same proportions."""
    longest = max(picture.size)
    scale = min(max(longest, least), most) / longest
    if scale == 1:
        return picture
    size = tuple(max(1, round(scale * side)) for side in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=3.0)


def mirrored_features(features: Features, width: int) -> Features:
    """The features of the mirrored picture, width pixels wide, without another detection: a
    descriptor is 4 rows of 4 cells of 8 directions, along the direction of its feature.
    """
    places, rows = features
    cells = np.arange(128).reshape(4, 4, 8)[::-1]
    order = cells[:, :, -np.arange(8) % 8].ravel()
    mirrored = places.copy()
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    return mirrored, np.ascontiguousarray(rows[:, order])


def untrimmed(agreement: Agreement, frame: Frame, photo: Image.Image) -> Agreement:
    """The same with the box of the whole picture, if the photo has the colours of what was trimmed
    in the same places.
    """
    centres = (np.arange(GRID) + 0.5) / GRID
    points = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
    left, top, width, height = frame.inner
    outside = (points < (left, top)).any(1) | (points > (left + width, top + height)).any(1)
    points = points[outside]
    a, b, c, d, e, f = agreement.placement
    linear, offset = np.array([[a, b], [d, e]]), np.array([c, f])

    def place(some: NDArray[np.float64]) -> NDArray[np.float64]:
        inner = (some - (left, top)) / (width, height)
        placed: NDArray[np.float64] = inner @ linear.T + offset
        return placed

    targets = place(points)
    mask = ((targets >= 0) & (targets < 1)).all(1)
    if not len(points) or mask.mean() < INNER:
        return agreement
    if not _are_alike(_colours(frame.whole, points[mask]), _colours(photo, targets[mask])):
        return agreement
    corners = place(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float))
    box, inside = _cut(corners)
    return replace(agreement, box=box, inside=inside)


def _are_alike(some: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Whether two sets of colours, (n, 3), have the same one in common; light may have changed."""
    middles = np.median(some, 0), np.median(others, 0)
    if np.abs(middles[0] - middles[1]).max() > LIGHT:
        return False
    plain = np.abs(others - middles[1]).max(1) <= MAX_DIFFERENCE
    return bool(plain.mean() >= PLAIN)


def _colours(picture: Image.Image, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of the pixels at some places, which are shares of the sides: (n, 3)."""
    pixels = np.asarray(picture.convert("RGB"))
    columns, rows = (points * (picture.width, picture.height)).astype(int).T
    colours: NDArray[np.int64] = pixels[rows, columns].astype(np.int64)
    return colours


def _cut(corners: NDArray[np.float64]) -> tuple[Box, float]:
    """The box around some corners, cut to the photo, and the share of it that is left."""
    low, high = corners.min(0), corners.max(0)
    inner_low, inner_high = low.clip(0, 1), high.clip(0, 1)
    inside = float(np.prod(inner_high - inner_low) / np.prod(high - low))
    left, top = map(float, inner_low)
    width, height = map(float, inner_high - inner_low)
    return (left, top, width, height), inside


def _matches(some: NDArray[np.float32], others: NDArray[np.float32]) -> tuple[Any, Any]:
    """Rows of features and of their nearest ones, where these are clearly the nearest."""
    if not len(some) or len(others) < 2:
        return np.empty(0, int), np.empty(0, int)
    # Descriptors have unit length: the largest product is the smallest distance.
    products, each = some @ others.T, np.arange(len(some))
    nearest = products.argmax(1)
    near = products[each, nearest].copy()
    products[each, nearest] = -1
    second = products.max(1)
    rows = np.flatnonzero(1 - near < RATIO**2 * (1 - second))
    return rows, nearest[rows]


def _distinct(places: NDArray[np.float32]) -> int:
    """Different places, to 2 pixels: one corner may have several features."""
    return len({(int(x), int(y)) for x, y in (places / 2).round()})


def _placement(
    matrix: NDArray[np.float64], query: Sequence[int], photo: Sequence[float], *, mirrored: bool
) -> Placement:
    """The transform of pixels as one of shares. mirrored: the query was mirrored first."""
    linear = matrix[:, :2] * np.array(query) / np.array(photo)[:, None]
    offset = matrix[:, 2] / np.array(photo)
    if mirrored:
        offset = offset + linear[:, 0]
        linear = linear * [-1, 1]
    (a, b), (d, e) = linear.tolist()
    c, f = offset.tolist()
    return a, b, c, d, e, f


def _place(
    matrix: NDArray[np.float64], query: Sequence[int], photo: Sequence[float]
) -> tuple[Box, float] | None:
    """The box around the transformed query, as shares of the photo, cut to it, and the share of it
    that is left; None where the transform is impossible.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if not SCALES[0] < scale < SCALES[1]:
        return None
    corners = np.array([[0, 0], [query[0], 0], [0, query[1]], [query[0], query[1]]], float)
    box, inside = _cut((corners @ matrix[:, :2].T + matrix[:, 2]) / np.array(photo, float))
    return None if inside < INSIDE else (box, inside)
