"""The facts that filters compare, in columns, so that a filter need not parse the records.

The database `columns` is derived from `images`. It holds blocks of BLOCK consecutive ids, one value
per column, under the number of the block and the name of the column. So a filter reads only the
columns that it compares. A block refers to nothing outside itself, so a changed photo rewrites one
block. `Store.write` calls `update` at the end of each transaction.
"""

import json
import os
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.store.records import Record, id_key, id_of
from indexes.store.txn import Txn
from mocosearch.errors import Damaged

BLOCK = 4096
PLAIN = {
    "ids": "<u2",
    "side": "<u4",
    "taken": "<M8[s]",
    "latitude": "<f8",
    "longitude": "<f8",
    "photo": "<u2",
    "name": "<u4",
}
"""Columns of numbers, with their dtypes. `ids` counts from the first id of the block. `photo`,
`name`, `folder` and `extension` have one entry per file, the others one per photo; `photo` is the
row of the file's photo."""
CODED = ("camera", "format", "folder", "extension")
"""Columns of text: one line of JSON with the distinct texts and the dtype of the codes, then the
codes, which are positions among the texts."""


class File(NamedTuple):
    """One path of a photo."""

    folder: str
    """As stored: the number of a root and the path below it."""
    extension: str
    """With its dot; empty where there is none."""
    name: int
    """`name_code` of the file's name."""


class Row(NamedTuple):
    """The facts of one photo."""

    side: int
    """The shorter side, in pixels."""
    taken: np.datetime64
    """Local time of capture, to the second; NaT where it is unknown."""
    latitude: float
    """Degrees, as `longitude`; NaN where it is unknown."""
    longitude: float
    camera: str | None
    format: str
    files: tuple[File, ...]


class Block:
    """The columns of one block, each read when it is used; views are valid as long as the
    transaction.
    """

    def __init__(self, txn: Txn, number: int) -> None:
        self.txn, self.number = txn, number

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """The ids of its photos, uint64 (n,), ascending. Raises Damaged."""
        return self.plain("ids").astype(np.uint64) + np.uint64(self.number * BLOCK)

    def plain(self, column: str) -> NDArray[Any]:
        """A column of numbers, (n,): n photos or files. Raises Damaged."""
        return np.frombuffer(self._value(column), PLAIN[column])

    def coded(self, column: str) -> tuple[list[Any], NDArray[Any]]:
        """The distinct texts of a column, and the codes of its entries, (n,). Raises Damaged."""
        head, _, codes = bytes(self._value(column)).partition(b"\n")
        texts, dtype = json.loads(head)
        return texts, np.frombuffer(codes, dtype)

    def _value(self, column: str) -> memoryview:
        value = self.txn.get("columns", _key(self.number, column))
        if value is None:
            raise Damaged(
                f"the columns of block {self.number} are incomplete",
                "build them again from the records: mocosearch verify --repair",
            )
        return value

    def rows(self) -> dict[int, Row]:
        """Its photos by id. Raises Damaged."""
        texts = {column: _texts(*self.coded(column)) for column in CODED}
        files: dict[int, list[File]] = defaultdict(list)
        photo, name = (self.plain(column).tolist() for column in ("photo", "name"))
        for at, *file in zip(photo, texts["folder"], texts["extension"], name, strict=True):
            files[at].append(File._make(file))
        columns = (
            self.plain("side").tolist(),
            self.plain("taken"),
            self.plain("latitude").tolist(),
            self.plain("longitude").tolist(),
            texts["camera"],
            texts["format"],
        )
        ids = self.ids.tolist()
        rows = zip(*columns, (tuple(files[at]) for at in range(len(ids))), strict=True)
        return dict(zip(ids, map(Row._make, rows), strict=True))


def blocks(txn: Txn) -> Iterator[Block]:
    """All blocks of an index, by ascending ids."""
    for number in _numbers(txn):
        yield Block(txn, number)


def update(txn: Txn) -> None:
    """Bring the blocks up to date with the records that this transaction wrote or deleted; damaged
    records are left out.
    """
    for number, some in groupby(sorted(txn.stale), lambda id: id // BLOCK):
        ids: Iterable[int] = some
        try:
            rows = Block(txn, number).rows()
        except Damaged:
            # The block is new or damaged: build all of it from the records.
            rows, ids = {}, range(number * BLOCK, (number + 1) * BLOCK)
        for id in ids:
            rows.pop(id, None)
            rows |= _row_by_id(txn, id)
        _write(txn, number, _encode(rows))
    txn.stale.clear()


def rebuild(txn: Txn) -> None:
    """Build all blocks from the records; damaged records are left out."""
    for key in list(txn.keys("columns")):
        txn.delete("columns", key)
    for number, ids in _ids_by_block(txn):
        rows: dict[int, Row] = {}
        for id in ids:
            rows |= _row_by_id(txn, id)
        _write(txn, number, _encode(rows))
    txn.stale.clear()


def faults(txn: Txn) -> Iterator[str]:
    """A line for each block that differs from the records. Raises Damaged for a record that cannot
    be read.
    """
    stored = set(_numbers(txn))
    for number, ids in _ids_by_block(txn):
        stored.discard(number)
        values = _encode({id: row_of(txn.get("images", id_key(id)) or b"") for id in ids})
        if any(
            bytes(txn.get("columns", _key(number, column)) or b"") != value
            for column, value in values.items()
        ):
            yield f"the columns of ids {ids[0]} to {ids[-1]} differ from the records"
    if stored:
        yield f"{len(stored)} blocks of columns have no records"


def _row_by_id(txn: Txn, id: int) -> dict[int, Row]:
    """One entry, or none where there is no intact record."""
    with suppress(Damaged):
        record = txn.get("images", id_key(id))
        if record is not None:
            return {id: row_of(record)}
    return {}


def row_of(record: bytes | memoryview) -> Row:
    """The facts of a stored record. Raises Damaged."""
    facts = Record.from_bytes(record)
    return Row(
        min(facts.width, facts.height),
        _second(facts.taken),
        np.nan if facts.latitude is None else facts.latitude,
        np.nan if facts.longitude is None else facts.longitude,
        facts.camera,
        facts.format,
        tuple(map(_file, facts.paths)),
    )


def name_code(name: str) -> int:
    """A 32-bit hash of a file's name that ignores case and the spelling of accents."""
    plain = unicodedata.normalize("NFC", name).casefold()
    return zlib.crc32(plain.encode("utf-8", "surrogatepass"))


def _file(path: str) -> File:
    folder, _, name = path.rpartition("/")
    return File(folder, os.path.splitext(name)[1], name_code(name))


def _second(taken: str | None) -> np.datetime64:
    # The offset from UTC is left out: filters compare local times.
    with suppress(ValueError):
        return np.datetime64(taken[:19] if taken else "NaT", "s")
    return np.datetime64("NaT", "s")


def _encode(rows: Mapping[int, Row]) -> dict[str, bytes]:
    """The values of a block by column, identical for identical rows; none without rows."""
    if not rows:
        return {}
    ids = sorted(rows)
    ordered = [rows[id] for id in ids]
    side, taken, latitude, longitude, camera, format, files = zip(*ordered, strict=True)
    entries = [(at, *file) for at, some in enumerate(files) for file in some]
    photo, folder, extension, name = zip(*entries, strict=True) if entries else ((), (), (), ())
    numbers: dict[str, Sequence[Any]] = {
        "ids": [id % BLOCK for id in ids],
        "side": side,
        "taken": taken,
        "latitude": latitude,
        "longitude": longitude,
        "photo": photo,
        "name": name,
    }
    texts = {"camera": camera, "format": format, "folder": folder, "extension": extension}
    plain = {column: np.array(numbers[column], PLAIN[column]).tobytes() for column in PLAIN}
    return plain | {column: _code(texts[column]) for column in CODED}


def _code(entries: Sequence[str | None]) -> bytes:
    codes = {text: code for code, text in enumerate(dict.fromkeys(entries))}
    dtype = np.min_scalar_type(len(codes)).newbyteorder("<")
    head = json.dumps([list(codes), dtype.str]).encode()
    return head + b"\n" + np.array([codes[text] for text in entries], dtype).tobytes()


def _texts(texts: list[Any], codes: NDArray[Any]) -> list[Any]:
    return [texts[code] for code in codes.tolist()]


def _write(txn: Txn, number: int, values: Mapping[str, bytes]) -> None:
    for column in (*PLAIN, *CODED):
        if column in values:
            txn.put("columns", _key(number, column), values[column])
        else:
            txn.delete("columns", _key(number, column))


def _key(number: int, column: str) -> bytes:
    return id_key(number) + column.encode()


def _numbers(txn: Txn) -> list[int]:
    return sorted({id_of(key[:8]) for key in txn.keys("columns")})


def _ids_by_block(txn: Txn) -> Iterator[tuple[int, list[int]]]:
    ids = [id_of(key) for key in txn.keys("images")]
    for number, some in groupby(ids, lambda id: id // BLOCK):
        yield number, list(some)
