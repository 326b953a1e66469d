"""Manifests: Parquet files that list the files of each shard of a plan."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from indexes.library.layout import replacing
from mocosearch.errors import Damaged, MissingPackage
from mocosearch.photos import FileStat

COLUMNS = ("shard", "id", "path", "size", "mtime")
"""The number of the shard; the id of the photo in the library; the path as the system's bytes;
bytes; nanoseconds since 1970."""


def write_manifest(path: Path, shards: Mapping[int, Sequence[tuple[int, FileStat]]]) -> None:
    """Write the files of some shards with their ids, whole or not at all; a row group per shard.

    Raises MissingPackage, StorageFailed.
    """
    pyarrow, parquet = _load_pyarrow()
    types = (pyarrow.int32(), pyarrow.uint64(), pyarrow.binary(), pyarrow.int64(), pyarrow.int64())
    schema = pyarrow.schema(list(zip(COLUMNS, types, strict=True)))
    with replacing(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(part, schema) as writer:
            for number, files in sorted(shards.items()):
                columns: list[Any] = [
                    [number] * len(files),
                    [id for id, _ in files],
                    [os.fsencode(file.path) for _, file in files],
                    [file.size for _, file in files],
                    [file.mtime for _, file in files],
                ]
                writer.write_table(pyarrow.table(columns, schema=schema))


def read_manifest(path: Path, shard: int) -> Iterator[tuple[int, FileStat]]:
    """The files of a shard as they were planned, with their ids. Raises MissingPackage, Damaged."""
    pyarrow, parquet = _load_pyarrow()
    try:
        table = parquet.read_table(path, filters=[("shard", "==", shard)])
        rows = table.select(list(COLUMNS[1:])).to_pydict()
    except (OSError, pyarrow.ArrowException) as error:
        raise Damaged(f"the manifest {path} cannot be read", "plan the library again") from error
    for id, name, size, mtime in zip(*rows.values(), strict=True):
        yield id, FileStat(os.fsdecode(name), size, mtime)


def _load_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingPackage(
            "a library's manifest needs pyarrow", "pip install 'mocosearch[export]'"
        ) from error
    return pyarrow, parquet
