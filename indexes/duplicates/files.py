"""The files of a photo that are unchanged since they were indexed, and whether they are raw."""

import os
from collections.abc import Callable

from indexes.duplicates.groups import Member
from indexes.search.view import View
from indexes.store.records import Record
from mocosearch.photos import FileStat
from mocosearch.photos.formats import RAW_EXTENSIONS


def unchanged_files(
    snapshot: View, record: Record, admits: Callable[[str], bool], changed: set[str]
) -> list[Member]:
    """A photo's unchanged files; several links to one file count once."""
    files: dict[tuple[int, int], Member] = {}
    for path in filter(admits, record.paths):
        status = _unchanged(snapshot, path)
        if status is None:
            changed.add(path)
        else:
            member = Member(path, record, status.st_mtime_ns)
            files.setdefault((status.st_dev, status.st_ino), member)
    return list(files.values())


def _unchanged(snapshot: View, path: str) -> os.stat_result | None:
    """The status of a file that is unchanged since it was indexed: another file in its place may
    be the only one of its kind.
    """
    entry = snapshot.entry(path)
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status if entry is not None and entry.is_unchanged(FileStat.of(path, status)) else None


def is_raw(record: Record) -> bool:
    """By its content, or by its name: a raw file may be read by the JPEG inside it."""
    names = (path.lower() for path in record.paths)
    return record.format == "RAW" or any(name.endswith(RAW_EXTENSIONS) for name in names)
