"""What a run did, and what queries return after it."""

from pathlib import Path

from indexes import Counts, Index
from mocosearch.photos import decode


def nonzero(counts: Counts) -> dict[str, int]:
    names = ("embedded", "unchanged", "moved", "deleted", "skipped", "not_pictures")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def total(counts: Counts) -> int:
    """All files of the scan."""
    return sum(n for name, n in nonzero(counts).items() if name != "deleted")


def query_photo(index: Index, file: Path, k: int = 1):
    pixels = decode(file.read_bytes(), index.encoder.side).pixels
    return index.query(index.encoder.encode(pixels[None]), k)[0]


def assert_best_match(index: Index, *files: Path) -> None:
    """Each photo is its own best match, under its own path."""
    for file in files:
        best = query_photo(index, file)[0]
        assert best.score >= 0.98, file
        assert str(file) in best.record.paths, file


def entry_counts(index: Index) -> dict[str, int]:
    return {m: index.txn.count(m) for m in ("paths", "images", "vectors", "digests", "refused")}
