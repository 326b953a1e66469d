"""The map of an index as a file beside it, which may be removed at any time."""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.maps.grid import Grid
from indexes.store.place import MAP
from indexes.store.records import Ids
from mocosearch.errors import StorageFailed

FORMAT = 1
MARGIN = 0.02
"""Of the side of the map, on each side."""


@dataclass(frozen=True)
class CollectionMap:
    """Where photos lie.

    ids: uint64 (n,), by rank. points: float64 (n, 2), in the units of t-SNE. reference: bool (n,),
    whether the photo was there when the map was learned, rather than placed among others later.
    frame: the least x, the least y and the side of the square that the learned points fill.
    fingerprint: of the encoder.
    """

    fingerprint: str
    ids: Ids
    points: NDArray[np.float64]
    reference: NDArray[np.bool_]
    frame: tuple[float, float, float]

    def grid(self) -> Grid:
        """The photos in cells; a photo beyond the frame lies at its edge."""
        left, top, side = self.frame
        places = np.clip((self.points - np.array([left, top])) / side, 0, 1)
        places = MARGIN + (1 - 2 * MARGIN) * places
        return Grid.of(self.ids, places, int(self.reference.sum()))

    @property
    def version(self) -> str:
        """Differs where any photo lies elsewhere."""
        content = hashlib.blake2b(self.ids.tobytes(), digest_size=8)
        content.update(self.points.tobytes())
        return content.hexdigest()


def frame_of(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """The smallest square around some points, (n, 2)."""
    if not len(points):
        return 0.0, 0.0, 1.0
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) or 1.0
    left, top = (low + high - side) / 2
    return float(left), float(top), side


def load(folder: Path, fingerprint: str) -> CollectionMap | None:
    """The map of the index in a folder; None where there is none for this encoder, or where it
    cannot be read.
    """
    try:
        with open(folder / MAP, "rb") as data, np.load(data, allow_pickle=False) as file:
            if int(file["format"]) != FORMAT or str(file["fingerprint"]) != fingerprint:
                return None
            ids, points, reference = file["ids"], file["points"], file["reference"]
            left, top, side = file["frame"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    right = ids.dtype == np.uint64 and points.dtype == np.float64 and reference.dtype == np.bool_
    if not right or ids.ndim != 1 or points.shape != (len(ids), 2) or len(reference) != len(ids):
        return None
    return CollectionMap(fingerprint, ids, points, reference, (left, top, side))


def save(folder: Path, collection_map: CollectionMap) -> None:
    """Store a map in the folder of its index, whole or not at all. Raises StorageFailed."""
    part = folder / f"{MAP}.{os.getpid()}"
    try:
        with open(part, "wb") as file:
            np.savez(
                file,
                format=np.array(FORMAT),
                fingerprint=np.array(collection_map.fingerprint),
                ids=collection_map.ids,
                points=collection_map.points,
                reference=collection_map.reference,
                frame=np.array(collection_map.frame),
            )
        part.replace(folder / MAP)
    except OSError as error:
        part.unlink(missing_ok=True)
        what = f"cannot store the map in {folder}: {error.strerror or error}"
        raise StorageFailed(what, "free some disk space, or move the index") from error
