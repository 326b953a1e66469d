"""A collection as files, for other programs."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from indexes.formats.clip_retrieval import write_clip_retrieval
from indexes.formats.faiss_file import INDEX, save_faiss, write_faiss
from indexes.formats.parquet import write_parquet
from indexes.formats.pgvector import write_pgvector
from indexes.formats.qdrant import write_qdrant
from indexes.formats.rows import AT_ONCE, records
from indexes.search import segments
from indexes.search.filters import Where
from indexes.search.view import View
from indexes.store.records import Ids
from mocosearch.errors import MissingPackage, StorageFailed, Unsuitable

PLAIN = "plain"
_NEXT = "free some disk space there, or name another folder"


def export(snapshot: View, dimension: int, folder: Path, format: str = PLAIN) -> list[str]:
    """Write the photos into a new folder; returns the names of the files.

    format: one of FORMATS. The folder appears complete or not at all. Raises Unsuitable for another
    format, and where the folder exists and is not empty; MissingPackage, StorageFailed.
    """
    if format not in FORMATS:
        raise Unsuitable(f"there is no format {format}", f"formats: {', '.join(FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Unsuitable(f"{folder} is not empty", "name a new folder")
    unfinished = folder.parent / f".{folder.name}.{os.getpid()}.part"
    try:
        unfinished.mkdir(parents=True)
        FORMATS[format](snapshot, dimension, unfinished)
        files = (path for path in unfinished.rglob("*") if path.is_file())
        names = sorted(os.fspath(path.relative_to(unfinished)) for path in files)
        os.replace(unfinished, folder)
    except OSError as error:
        raise StorageFailed(
            f"cannot write to {folder}: {error.strerror or error}", _NEXT
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return names


def _write_plain(snapshot: View, dimension: int, folder: Path) -> None:
    """`keys.npy`, fp16 (n, d), `ids.npy`, uint64 (n,), and `records.jsonl`, one photo per line,
    have the same order. `index.faiss` returns those ids in any FAISS. `photos.parquet` has keys
    and records; it is written where pyarrow is installed.
    """
    ids = snapshot.among(Where())
    np.save(folder / "ids.npy", ids)
    shape = (len(ids), dimension)
    # Not through a memory map: on a full disk, writing into one ends the process.
    with open(folder / "keys.npy", "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for some in snapshot.read_keys(ids):
            file.write(some.tobytes())
    keys = np.load(folder / "keys.npy", mmap_mode="r")
    with open(folder / "records.jsonl", "w", encoding="ascii") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records(snapshot, ids))
    _write_faiss_with_ids(folder / INDEX, ids, keys)
    try:
        write_parquet(snapshot, dimension, folder)
    except MissingPackage:
        return


def _write_faiss_with_ids(file: Path, ids: Ids, keys: Any) -> None:
    inner = segments.exact_index(keys.shape[1])
    whole = segments.load_faiss().IndexIDMap2(inner)
    for first in range(0, len(ids), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        whole.add_with_ids(keys[part].astype(np.float32), ids[part].astype(np.int64))
    save_faiss(whole, file)


FORMATS: Mapping[str, Callable[[View, int, Path], None]] = {
    PLAIN: _write_plain,
    "parquet": write_parquet,
    "clip-retrieval": write_clip_retrieval,
    "faiss": write_faiss,
    "pgvector": write_pgvector,
    "qdrant": write_qdrant,
}
