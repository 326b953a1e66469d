"""From folders to pixels: find photos, decode them safely, keep them small for training."""

from mocosearch.photos.decode import Picture, decode
from mocosearch.photos.facts import Facts
from mocosearch.photos.reading import outcomes
from mocosearch.photos.scan import FileStat, ScanReport, scan
from mocosearch.photos.worker import Content, Outcome

__all__ = [
    "Content",
    "Facts",
    "FileStat",
    "Outcome",
    "Picture",
    "ScanReport",
    "decode",
    "outcomes",
    "scan",
]
