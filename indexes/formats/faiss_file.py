"""A FAISS index with a JSON file that tells which photo each of its rows is."""

import json
import os
from pathlib import Path

import numpy as np

from indexes.formats.rows import pieces, printable
from indexes.search import segments
from indexes.search.view import View

INDEX, ABOUT = "index.faiss", "index.json"


def write_faiss(view: View, dimension: int, folder: Path) -> None:
    """Write an exact index of all keys, whose rows are 0 to n-1, and for each row id and path."""
    index = segments.exact_index(dimension)
    ids: list[int] = []
    paths: list[str] = []
    for some, keys in pieces(view):
        index.add(keys.astype(np.float32))
        ids += some.tolist()
        paths += [printable(next(iter(view.record(id).paths), "")) for id in some.tolist()]
    save_faiss(index, folder / INDEX)
    about = {"dimension": dimension, "metric": "inner product", "ids": ids, "paths": paths}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")


def save_faiss(index: object, file: Path) -> None:
    """Write a FAISS index. Raises OSError."""
    try:
        segments.load_faiss().write_index(index, os.fspath(file))
    except RuntimeError as error:
        raise OSError(f"FAISS cannot write {file.name}") from error
