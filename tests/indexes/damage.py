"""Damage at a given place in an index's file."""

from pathlib import Path

from indexes import Index
from indexes.store import layout


def damage(folder: Path, database: str, key: bytes, share: float = 0.3) -> None:
    """Change 16 bytes of a stored value, at a share of its length."""
    with Index.open(folder) as index:
        assert index.store.file_map
        commit = index.txn.raw.id()
        place = layout.find(index.store.file_map.data(), commit, database.encode(), key)
    assert place
    at = place[0] + int(share * place[1])
    with open(folder / "data.mdb", "r+b") as file:
        file.seek(at)
        before = file.read(16)
        file.seek(at)
        file.write(bytes(byte ^ 0x55 for byte in before))
