"""What an index holds, and what it holds of one file, as plain values."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexes.parts import store as parts
from indexes.search import merging, segments
from indexes.search.answer import existing_first
from indexes.search.snapshot import Snapshot
from indexes.store.environment import FORMAT
from indexes.store.place import DATA
from indexes.store.txn import Txn
from mocosearch.encoder import Encoder


def info(snapshot: Snapshot, folder: Path, encoder: Encoder) -> dict[str, Any]:
    """The contents of the index in a folder: see `Index.info`."""
    txn = snapshot.txn
    skipped = snapshot.skipped_files()
    numbers = segments.numbers(txn)
    segment_list = [_segment_info(txn, number) for number in numbers]
    plan = merging.plan(txn)
    largest = max(segment_list, key=lambda part: part["keys"], default={"kind": "SQfp16"})
    return {
        "path": os.fspath(folder),
        "images": txn.count("paths"),
        "keys": len(snapshot),
        "skipped": sum(file.reason is not None for file in skipped),
        "not_pictures": sum(file.reason is None for file in skipped),
        "roots": sorted(snapshot.roots.places.values()),
        "dimension": encoder.dimension,
        "encoder": encoder.fingerprint,
        "architecture": encoder.card.architecture,
        "kind": largest["kind"],
        "kind_asked": plan.kind,
        "recall_asked": plan.recall,
        "segments": len(segment_list),
        "segment_list": segment_list,
        "parts": _parts_info(txn) if parts.is_enabled(txn) else None,
        "masked": txn.count("deleted"),
        "format": FORMAT,
        "bytes": (folder / DATA).stat().st_size,
    }


def _parts_info(txn: Txn) -> dict[str, int]:
    """Photos with keys of regions, and the bytes of these."""
    space, names = segments.REGIONS, segments.PARTS
    sizes = (
        len(segments.part(txn, number, name, space=space))
        for number in segments.numbers(txn, space)
        for name in names
    )
    return {"photos": len(parts.photos(txn)), "bytes": sum(sizes)}


def _segment_info(txn: Txn, number: bytes) -> dict[str, Any]:
    about = segments.about(txn, number)
    return {
        "keys": len(segments.part(txn, number, b"ids")) // 8,
        "kind": about.kind,
        "settings": about.settings,
        "recall": about.recall,
        "bytes": len(segments.part(txn, number, b"faiss")),
    }


def facts(snapshot: Snapshot, path: str) -> dict[str, Any] | None:
    """The facts of one absolute path: see `Index.facts`."""
    path = snapshot.locate(path)
    entry = snapshot.entry(path)
    if entry is not None:
        modified = datetime.fromtimestamp(entry.mtime / 1e9, UTC).isoformat()
        record = asdict(snapshot.record(entry.id))
        paths = existing_first(record["paths"])
        missing = [path for path in paths if not os.path.exists(path)]
        return (
            {"id": entry.id, "modified": modified} | record | {"paths": paths, "missing": missing}
        )
    skipped = snapshot.skipped_file(path)
    return None if skipped is None else {"skipped": skipped.reason or "not a picture"}
