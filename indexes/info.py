"""What an index holds, and what it holds of one file, as plain values."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexes.parts import store as parts
from indexes.search import merging, segments
from indexes.search.answer import existing_first
from indexes.search.view import View
from indexes.store.environment import FORMAT
from indexes.store.place import DATA
from indexes.store.txn import Txn
from mocosearch.encoder import Encoder


def info(snapshot: View, folder: Path, encoder: Encoder) -> dict[str, Any]:
    """The contents of the index in a folder: see `Reader.info`."""
    skipped = snapshot.skipped_files()
    txns = [part.txn for part in snapshot.parts]
    segment_list = [_segment_info(txn, number) for txn in txns for number in segments.numbers(txn)]
    plan = merging.plan(txns[0])
    largest = max(segment_list, key=lambda part: part["keys"], default={"kind": "SQfp16"})
    return {
        "path": os.fspath(folder),
        "images": sum(txn.count("paths") for txn in txns),
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
        "parts": _parts_info(txns[0]) if parts.is_enabled(txns[0]) else None,
        "masked": sum(txn.count("deleted") for txn in txns),
        "format": FORMAT,
        "bytes": sum((txn.folder / DATA).stat().st_size for txn in txns),
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


def facts(snapshot: View, path: str) -> dict[str, Any] | None:
    """The facts of one absolute path: see `Reader.facts`."""
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
