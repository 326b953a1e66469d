"""From folders to pixels: find photos, decode them safely and cache them for training."""

from mocosearch.photos.decode import Picture, decode
from mocosearch.photos.metadata.facts import Facts
from mocosearch.photos.scan import FileStat, ScanReport, scan
from mocosearch.photos.workers.reading import read_photos
from mocosearch.photos.workers.worker import Photo, ReadResult

__all__ = [
    "Facts",
    "FileStat",
    "Photo",
    "Picture",
    "ReadResult",
    "ScanReport",
    "decode",
    "read_photos",
    "scan",
]
