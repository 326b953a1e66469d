"""A question: pictures, pixels or keys become the keys that are searched with."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from indexes.search.inputs import PathLike
from indexes.store.records import Keys
from mocosearch.encoder import Encoder
from mocosearch.errors import Mismatch, NoPhotos, NotFound, Unreadable, Unsuitable
from mocosearch.photos import Photo, perceptual, read_photos, scan
from mocosearch.photos.decode import Pixels, digest_of, read
from mocosearch.photos.scan import roots_of
from mocosearch.photos.squares import Crop, Squares, squares

MINUS = 0.5
"""Weight of the unwanted pictures; Rocchio's method weighs them less than the wanted ones."""
BATCH = 32
"""Pictures of a folder that are encoded at once."""
Source = PathLike | bytes | Squares | Pixels | Keys
"""One picture: the path of a file or of a folder of pictures, the bytes of a file, what `squares`
made of one, pixels of uint8 (side, side, 3), or a key, float (d,)."""


@dataclass(frozen=True)
class Weighted:
    """A picture and its weight in the mean, above 0. Raises Unsuitable for another weight."""

    image: Source
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            name = self.image if isinstance(self.image, str) else "an image"
            raise Unsuitable(f"the weight of {name} must be a number above 0")


Images = Source | Weighted | Sequence[Source | Weighted]
"""One picture, or several; an array with one more axis is several too."""


@dataclass(frozen=True)
class Question:
    """What to search with. A photo's score is its best cosine with any of the keys.

    keys: float32 (n, d) of unit length, one per orientation of the query; as many again for the
    query without its borders. skipped: files of a folder that gave no key, with the reason.
    digests: hexadecimal, of the files in the question.
    """

    keys: Keys
    skipped: Mapping[str, str] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()

    def refine(self, like: Keys, unlike: Keys) -> "Question":
        """The question moved towards some keys (n, d) and, with less weight, away from others.

        Source: Rocchio, "Relevance feedback in information retrieval", 1971.
        """
        return Question(unit(self.keys + like.sum(0) - MINUS * unlike.sum(0)))


def ask(
    encoder: Encoder,
    images: Images,
    *,
    minus: Images = (),
    crop: Crop | None = None,
    orientations: bool = False,
) -> Question:
    """The weighted mean of some pictures, less a share of the mean of unwanted ones (Rocchio).

    crop: the region of every wanted picture that counts. orientations: a key for each of the 8
    orientations, mirrored ones included. A picture file with borders of one colour, such as a
    screenshot, gives keys with and without them, unless a crop is given; pixels are encoded
    unchanged. A folder stands for the mean of its pictures.

    Raises NotFound and Unreadable for a file, NoPhotos for a folder without a readable picture,
    Mismatch for an array of another shape, Unsuitable if there is no image, or where a crop or an
    orientation is impossible.
    """
    wanted, unwanted = _images(images), _images(minus)
    if not wanted:
        raise Unsuitable("a search needs an image", "name at least one")
    skipped: dict[str, str] = {}
    digests: set[str] = set()
    views = _Views(encoder, orientations, skipped, digests)
    keys = unit(views.total(wanted, crop, borders=crop is None))
    files = frozenset(digests)
    if unwanted:
        keys = unit(keys - MINUS / len(unwanted) * views.total(unwanted, None, borders=False))
    return Question(keys.reshape(-1, encoder.dimension), skipped, files)


def unit(keys: Keys) -> Keys:
    """Keys (..., d) scaled to length 1; a key of zeros stays as it is."""
    scaled: Keys = keys / np.linalg.norm(keys, axis=-1, keepdims=True).clip(1e-12)
    return scaled


def _images(images: Images) -> list[Weighted]:
    if isinstance(images, np.ndarray):
        axes = 3 if images.dtype == np.uint8 else 1
        several: Sequence[Any] = [images] if images.ndim <= axes else list(images)
    elif isinstance(images, str | bytes | os.PathLike | Squares | Weighted):
        several = [images]
    else:
        several = images
    return [image if isinstance(image, Weighted) else Weighted(image) for image in several]


@dataclass(frozen=True)
class _Views:
    """Keys of pictures, each seen in several ways: float32 (1 or 2, orientations, d).

    The first row is of whole pictures, the second of pictures without their borders.
    """

    encoder: Encoder
    orientations: bool
    skipped: dict[str, str]
    digests: set[str]

    def total(self, images: Sequence[Weighted], crop: Crop | None, borders: bool) -> Keys:
        """The sum by weight. A picture without borders is in both rows."""
        terms = (part.weight * self._keys(part.image, crop, borders) for part in images)
        total: Keys = reduce(np.add, terms)
        return total

    def _keys(self, image: Source, crop: Crop | None, borders: bool) -> Keys:
        if isinstance(image, str | os.PathLike) and os.path.isdir(image):
            _check_no_crop(crop, f"{os.fspath(image)} is a folder")
            return self._folder_key(os.fspath(image))
        if isinstance(image, str | bytes | os.PathLike):
            return self._encode(_squares(image, self.encoder.side, crop, borders, self.digests))
        _check_no_crop(crop, "pixels and keys are used whole")
        if isinstance(image, Squares):
            self.digests.add(image.digest)
            return self._encode(image.pixels)
        given: Any = np.asarray(image)
        if given.dtype == np.uint8:
            shape: tuple[int, ...] = (self.encoder.side, self.encoder.side, 3)
            if given.shape != shape:
                raise Mismatch(f"pixels of shape {given.shape}, the encoder takes {shape}")
            return self._encode([given])
        if given.shape != (self.encoder.dimension,):
            raise Mismatch(
                f"a key of shape {given.shape}, the index has dimension {self.encoder.dimension}"
            )
        if self.orientations:
            raise Unsuitable("a key has no other orientations", "search with pictures")
        return unit(given.astype(np.float32))[None, None]

    def _encode(self, squares: Sequence[Pixels]) -> Keys:
        ways = perceptual.orientations if self.orientations else lambda square: [square]
        pixels = np.stack([way for square in squares for way in ways(square)])
        return self.encoder.encode(pixels).reshape(len(squares), -1, self.encoder.dimension)

    def _folder_key(self, folder: str) -> Keys:
        """The mean of the pictures below a folder, of unit length, as one more picture."""
        batches = _folder_pixels(folder, self.encoder.side, self.skipped)
        sums = [self._encode(pixels).sum(0, keepdims=True) for pixels in batches]
        if not sums:
            raise NoPhotos(
                f"{folder} contains no readable picture", "name a picture or another folder"
            )
        return unit(reduce(np.add, sums))


def _check_no_crop(crop: Crop | None, reason: str) -> None:
    if crop is not None:
        raise Unsuitable(f"a crop needs a picture file: {reason}")


def _squares(
    image: PathLike | bytes, side: int, crop: Crop | None, borders: bool, digests: set[str]
) -> "list[Pixels]":
    """The pixels of a picture, and with `borders` those of the picture inside its borders if it
    has any. `digests` gets the file's. Raises NotFound, and Unreadable with the file's name.
    """
    with file_errors(image):
        data = data_of(image)
        digests.add(digest_of(data).hex())
        return squares(data, side, crop, borders)


def data_of(image: PathLike | bytes) -> bytes:
    """The bytes of a picture file. Raises Unreadable."""
    data = image if isinstance(image, bytes) else read(os.fspath(image))
    if not data:
        raise Unreadable("not a picture")
    return data


@contextmanager
def file_errors(image: PathLike | bytes) -> Iterator[None]:
    """Errors about a picture that a person named, with its name: NotFound and Unreadable."""
    name = "the image" if isinstance(image, bytes) else os.fspath(image)
    try:
        yield
    except ValueError as error:
        # A name with a null byte.
        raise NotFound(f"cannot read {name}: no such file", "check the spelling") from error
    except Unreadable as error:
        hint = "name a JPEG, PNG, WebP, HEIC or TIFF file"
        if isinstance(error.__cause__, FileNotFoundError):
            raise NotFound(f"cannot read {name}: no such file", "check the spelling") from error
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            hint = "check its permissions, and whether its disk is there"
        raise Unreadable(f"cannot read {name}: {error.what}", hint) from error


def _folder_pixels(folder: str, side: int, skipped: dict[str, str]) -> Iterator[list[Pixels]]:
    """The pictures below a folder in batches; `skipped` gets the other files."""
    batch: list[Pixels] = []
    for file, outcome in read_photos(list(scan(roots_of([folder]))), side):
        if isinstance(outcome, Photo):
            batch.append(outcome.picture.pixels)
        elif outcome is not None:
            skipped[file.path] = outcome
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
