"""What a run did, and what the index answers after it."""

from pathlib import Path

from indexes import Counts, Index
from mocosearch.photos import decode


def told(counts: Counts) -> dict[str, int]:
    names = ("embedded", "unchanged", "moved", "deleted", "skipped", "not_pictures")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def seen(counts: Counts) -> int:
    return sum(n for name, n in told(counts).items() if name != "deleted")


def ask(index: Index, file: Path, k: int = 1):
    pixels = decode(file.read_bytes(), index.encoder.side).pixels
    return index.query(index.encoder.encode(pixels[None]), k)[0]


def assert_found(index: Index, *files: Path) -> None:
    """Each photo is its own best answer, and under its own name."""
    for file in files:
        best = ask(index, file)[0]
        assert best.score >= 0.98, file
        assert str(file) in best.record.paths, file


def stored(index: Index) -> dict[str, int]:
    return {m: index.txn.count(m) for m in ("paths", "images", "vectors", "digests", "refused")}
