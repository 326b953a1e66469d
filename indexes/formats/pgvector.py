"""PostgreSQL with pgvector: a table as text for COPY, and the commands that load it."""

from pathlib import Path
from typing import Any

from indexes.formats.rows import pieces, printable, records
from indexes.search.view import View

ROWS, COMMANDS = "photos.copy", "photos.sql"
COLUMNS = {
    "id": "bigint PRIMARY KEY",
    "path": "text NOT NULL",
    "width": "integer",
    "height": "integer",
    "taken": "text",
    "latitude": "double precision",
    "longitude": "double precision",
    "camera": "text",
}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def write_pgvector(view: View, dimension: int, folder: Path) -> None:
    """Write ROWS, in the text format of COPY, and COMMANDS for `psql -f` in the same folder.

    Keys have 6 decimals; `<#>` is the operator for their negative cosine, as they have unit length.
    """
    with open(folder / ROWS, "w", encoding="utf-8", newline="\n") as out:
        for ids, keys in pieces(view):
            for record, key in zip(records(view, ids), keys.tolist(), strict=True):
                facts = record | {"path": printable(next(iter(record["paths"]), ""))}
                cells = [_cell(facts[name]) for name in COLUMNS]
                numbers = ",".join(f"{number:.6g}" for number in key)
                out.write("\t".join([*cells, f"[{numbers}]"]) + "\n")
    columns = [f"{name} {kind}" for name, kind in COLUMNS.items()]
    lines = (
        "CREATE EXTENSION IF NOT EXISTS vector;",
        f"CREATE TABLE photos ({', '.join([*columns, f'key vector({dimension})'])});",
        f"\\copy photos FROM '{ROWS}'",
        "CREATE INDEX ON photos USING hnsw (key vector_ip_ops);",
    )
    (folder / COMMANDS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    return "\\N" if value is None else str(value).translate(_ESCAPES).replace("\0", "")
