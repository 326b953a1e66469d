"""What became of files, and how far a run is."""

from dataclasses import dataclass, field

from mocosearch.photos import FileStat, ScanReport


@dataclass
class Counts:
    """What became of the files; without `deleted` they add up to all files found."""

    embedded: int = 0
    unchanged: int = 0
    moved: int = 0
    """Files under a new name whose content had a key already."""
    deleted: int = 0
    skipped: int = 0
    not_pictures: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    """A reason for each file skipped in this run."""
    scan_report: ScanReport = field(default_factory=ScanReport)
    """What was passed over, and the folders that may not be read."""
    absent: list[str] = field(default_factory=list)
    """Folders that are missing or hold no file at all; nothing of theirs was taken out."""

    def skip(self, found: FileStat, reason: str | None) -> None:
        """Count a file without a key; None is one that is no picture."""
        if reason is None:
            self.not_pictures += 1
        else:
            self.skipped += 1
            self.reasons[found.path] = reason


@dataclass(frozen=True)
class Progress:
    """`done` of `total` files that need work; `skipped` of those so far; files a second."""

    done: int
    total: int
    skipped: int
    rate: float
