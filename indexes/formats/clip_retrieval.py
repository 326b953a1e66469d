"""The folder layout of clip-retrieval, which autofaiss and embedding-reader read too.

https://github.com/rom1504/clip-retrieval: `img_emb/img_emb_0.npy` and `metadata/metadata_0.parquet`
have the same rows, and further parts follow by their numbers.
"""

from pathlib import Path

import numpy as np

from indexes.formats.rows import load_pyarrow, pieces, printable, records
from indexes.search.view import View

PART = 1_000_000
"""Photos of one part."""


def write_clip_retrieval(view: View, dimension: int, folder: Path) -> None:
    """Write fp16 keys, and for each row `id`, `image_path`, `width` and `height`.

    Raises MissingPackage.
    """
    pyarrow, parquet = load_pyarrow()
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir()
    digits = len(str(max(0, len(view) - 1) // PART))
    for number, (ids, keys) in enumerate(pieces(view, PART)):
        np.save(folder / "img_emb" / f"img_emb_{number:0{digits}}.npy", keys)
        rows = [
            {
                "id": record["id"],
                "image_path": printable(next(iter(record["paths"]), "")),
                "width": record["width"],
                "height": record["height"],
            }
            for record in records(view, ids)
        ]
        table = pyarrow.Table.from_pylist(rows)
        parquet.write_table(table, folder / "metadata" / f"metadata_{number:0{digits}}.parquet")
