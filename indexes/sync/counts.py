"""Counts of what a run did with the files, and its progress."""

from dataclasses import dataclass, field

from mocosearch.photos import FileStat, ScanReport


@dataclass
class Counts:
    """Files by what happened to them; without `deleted` they add up to all files of a scan."""

    embedded: int = 0
    unchanged: int = 0
    moved: int = 0
    """Files with a new path whose content already had a key."""
    deleted: int = 0
    """Photos that lost their last path."""
    skipped: int = 0
    not_pictures: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    """The reason for each file skipped in this run, by path."""
    scan_report: ScanReport = field(default_factory=ScanReport)
    """Files and folders that were left out, and those that could not be read."""
    absent: list[str] = field(default_factory=list)
    """Folders that are missing or hold no file at all; their photos stay in the index."""
    unmounted: list[str] = field(default_factory=list)
    """Folders with other files in place of a disk that is not mounted; its photos stay too."""

    def skip(self, file: FileStat, reason: str | None) -> None:
        """Count a file without a key. A reason of None means that it is not a picture."""
        if reason is None:
            self.not_pictures += 1
        else:
            self.skipped += 1
            self.reasons[file.path] = reason

    def add_renewal(self, renewal: "Counts") -> None:
        """Add the counts of a renewal that ran just before.

        The photos that it embedded were unchanged in this run: they count as embedded only.
        """
        self.embedded += renewal.embedded
        self.unchanged -= min(self.unchanged, renewal.embedded)
        self.deleted += renewal.deleted
        self.seconds += renewal.seconds


@dataclass(frozen=True)
class Progress:
    """`done` of `total` files to read, `skipped` of those so far, `rate` in files per second."""

    done: int
    total: int
    skipped: int
    rate: float
