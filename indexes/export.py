"""An index as plain files, for other programs."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from indexes import segments
from indexes.filters import Where
from indexes.index import Index
from indexes.records import Record
from indexes.segments import Ids
from indexes.store import reported
from mocosearch.errors import Unsuitable

AT_ONCE = 10_000


def export(index: Index, folder: Path) -> list[str]:
    """Write an index's photos into a new folder; returns the names of the files.

    `keys.npy` fp16 (n, d), `ids.npy` uint64 (n,), `records.jsonl` a photo a line, all in the same
    order; `index.faiss` answers with those ids in any FAISS; `photos.parquet` holds keys and
    records, where pyarrow is installed. Whole or not at all.

    Raises Unsuitable where the folder exists and is not empty, StorageFailed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Unsuitable(f"{folder} is not empty", "name a new folder")
    with reported(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".export-", dir=folder.parent))
        try:
            _write(index, made)
            names = sorted(os.listdir(made))
            made.chmod(0o755)
            os.replace(made, folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return names


def _write(index: Index, folder: Path) -> None:
    ids = index.among(Where())
    np.save(folder / "ids.npy", ids)
    shape = (len(ids), index.encoder.dimension)
    keys = np.lib.format.open_memmap(folder / "keys.npy", "w+", np.float16, shape)
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        keys[first : first + len(some)] = np.concatenate(list(segments.read_keys(index.txn, some)))
    keys.flush()
    with open(folder / "records.jsonl", "w", encoding="ascii") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records(index, ids))
    _write_faiss(folder / "index.faiss", ids, keys)
    _write_parquet(index, folder / "photos.parquet", ids, keys)


def records(index: Index, ids: Ids) -> Iterator[dict[str, Any]]:
    """What is known of some photos, as plain values with the id."""
    for id in ids:
        yield {"id": int(id), **asdict(index.record(int(id)))}


def _write_faiss(file: Path, ids: Ids, keys: Any) -> None:
    faiss = segments.load_faiss()
    inner = segments.exact_index(keys.shape[1])
    whole = faiss.IndexIDMap2(inner)
    for first in range(0, len(ids), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        whole.add_with_ids(keys[part].astype(np.float32), ids[part].astype(np.int64))
    faiss.write_index(whole, os.fspath(file))


def _write_parquet(index: Index, file: Path, ids: Ids, keys: Any) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    # Told, and not guessed from the first rows, which may have no place or time at all.
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    kinds |= {str: pyarrow.string(), list[str]: pyarrow.list_(pyarrow.string())}
    columns = {"id": kinds[int]}
    for name, hint in get_type_hints(Record).items():
        columns[name] = kinds[hint if hint in kinds else get_args(hint)[0]]
    half = pyarrow.list_(pyarrow.float16(), keys.shape[1])
    writer = None
    try:
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            rows = [_printable(record) for record in records(index, some)]
            table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(columns))
            flat = pyarrow.array(np.asarray(keys[first : first + len(some)]).reshape(-1))
            table = table.append_column(
                "key", pyarrow.FixedSizeListArray.from_arrays(flat, type=half)
            )
            writer = writer or parquet.ParquetWriter(file, table.schema)
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _printable(record: dict[str, Any]) -> dict[str, Any]:
    """Names in broken encodings written roughly: Parquet's text is UTF-8."""
    paths = [path.encode("utf-8", "backslashreplace").decode() for path in record["paths"]]
    return {**record, "paths": paths}
