"""An index as plain files, for other programs."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from indexes.search import segments
from indexes.search.filters import Where
from indexes.search.view import View
from indexes.store.records import Ids, Record
from mocosearch.errors import StorageFailed, Unsuitable

AT_ONCE = 10_000
_NEXT = "free some disk space there, or name another folder"


def export(snapshot: View, dimension: int, folder: Path) -> list[str]:
    """Write an index's photos into a new folder; returns the names of the files.

    `keys.npy`, fp16 (n, d), `ids.npy`, uint64 (n,), and `records.jsonl`, one photo per line, have
    the same order. `index.faiss` returns those ids in any FAISS. `photos.parquet` has keys and
    records; it is written where pyarrow is installed. The folder appears complete or not at all.

    Raises Unsuitable where the folder exists and is not empty, StorageFailed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Unsuitable(f"{folder} is not empty", "name a new folder")
    unfinished = folder.parent / f".{folder.name}.{os.getpid()}.part"
    try:
        unfinished.mkdir(parents=True)
        _write(snapshot, dimension, unfinished)
        names = sorted(os.listdir(unfinished))
        os.replace(unfinished, folder)
    except OSError as error:
        raise StorageFailed(
            f"cannot write to {folder}: {error.strerror or error}", _NEXT
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return names


def _write(snapshot: View, dimension: int, folder: Path) -> None:
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
    _write_faiss(folder / "index.faiss", ids, keys)
    _write_parquet(snapshot, folder / "photos.parquet", ids, keys)


def records(snapshot: View, ids: Ids) -> Iterator[dict[str, Any]]:
    """The records of some photos, as plain values with the id."""
    for id in ids:
        yield {"id": int(id), **asdict(snapshot.record(int(id)))}


def _write_faiss(file: Path, ids: Ids, keys: Any) -> None:
    faiss = segments.load_faiss()
    inner = segments.exact_index(keys.shape[1])
    whole = faiss.IndexIDMap2(inner)
    for first in range(0, len(ids), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        whole.add_with_ids(keys[part].astype(np.float32), ids[part].astype(np.int64))
    try:
        faiss.write_index(whole, os.fspath(file))
    except RuntimeError as error:
        raise OSError(f"FAISS cannot write {file.name}") from error


def _write_parquet(snapshot: View, file: Path, ids: Ids, keys: Any) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    # Not inferred from the first rows, which may have no place or time.
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    kinds |= {str: pyarrow.string(), list[str]: pyarrow.list_(pyarrow.string())}
    columns = {"id": kinds[int]}
    for name, hint in get_type_hints(Record).items():
        columns[name] = kinds[hint if hint in kinds else get_args(hint)[0]]
    half = pyarrow.list_(pyarrow.float16(), keys.shape[1])
    schema = pyarrow.schema([*columns.items(), ("key", half)])
    with parquet.ParquetWriter(file, schema) as writer:
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            rows = [_printable(record) for record in records(snapshot, some)]
            table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(columns))
            flat = pyarrow.array(np.asarray(keys[first : first + len(some)]).reshape(-1))
            keyed = pyarrow.FixedSizeListArray.from_arrays(flat, type=half)
            writer.write_table(table.append_column("key", keyed).cast(schema))


def _printable(record: dict[str, Any]) -> dict[str, Any]:
    """With names in broken encodings escaped: Parquet's text is UTF-8."""
    paths = [path.encode("utf-8", "backslashreplace").decode() for path in record["paths"]]
    return {**record, "paths": paths}
