"""Parquet: a row per photo with its id, facts and key."""

from pathlib import Path
from typing import Any, get_args, get_type_hints

from indexes.formats.rows import load_pyarrow, pieces, printable, records
from indexes.search.view import View
from indexes.store.records import Record

NAME = "photos.parquet"


def write_parquet(view: View, dimension: int, folder: Path) -> None:
    """Write NAME: the columns of a record, and `key`, a list of `dimension` fp16 numbers.

    Raises MissingPackage.
    """
    pyarrow, parquet = load_pyarrow()
    # Not inferred from the first rows, which may have no place or time.
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    kinds |= {str: pyarrow.string(), list[str]: pyarrow.list_(pyarrow.string())}
    columns = {"id": kinds[int]}
    for name, hint in get_type_hints(Record).items():
        columns[name] = kinds[hint if hint in kinds else get_args(hint)[0]]
    half = pyarrow.list_(pyarrow.float16(), dimension)
    schema = pyarrow.schema([*columns.items(), ("key", half)])
    with parquet.ParquetWriter(folder / NAME, schema) as writer:
        for ids, keys in pieces(view):
            rows = [_printable(record) for record in records(view, ids)]
            table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(columns))
            flat = pyarrow.array(keys.reshape(-1))
            keyed = pyarrow.FixedSizeListArray.from_arrays(flat, type=half)
            writer.write_table(table.append_column("key", keyed).cast(schema))


def _printable(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "paths": [printable(path) for path in record["paths"]]}
