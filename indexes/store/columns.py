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
AT_ONCE = 8
"""Blocks that a filter compares together: numpy takes longer for many small arrays."""
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


class Blocks:
    """The columns of some blocks, one block after the other, each read when it is used. Arrays of
    a single block are views, valid as long as the transaction.
    """

    def __init__(self, txn: Txn, numbers: Sequence[int]) -> None:
        self.txn, self.numbers = txn, numbers

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """The ids of the photos, uint64 (n,), ascending. Raises Damaged."""
        parts = self._plain("ids")
        starts = (np.uint64(number * BLOCK) for number in self.numbers)
        return _joined([part + start for part, start in zip(parts, starts, strict=True)])

    @cached_property
    def photos(self) -> NDArray[Any]:
        """For each file its photo's position among `ids`. Raises Damaged."""
        parts = self._plain("photo")
        rows = np.cumsum([0, *(len(part) for part in self._plain("ids"))], dtype=np.int32)
        return _joined([part + row for part, row in zip(parts, rows, strict=False)])

    @cached_property
    def _one_file_each(self) -> bool:
        """Whether every photo has one file, as most have."""
        return np.array_equal(self.photos, np.arange(len(self.ids)))

    def with_any(self, files: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The photos, bool (n,), that have any of some files, bool (m,). Raises Damaged."""
        if self._one_file_each:
            return files
        photos = np.zeros(len(self.ids), bool)
        photos[self.photos[files]] = True
        return photos

    def plain(self, column: str) -> NDArray[Any]:
        """A column of numbers, (n,): n photos or files. Raises Damaged."""
        return _joined(self._plain(column))

    def _plain(self, column: str) -> list[NDArray[Any]]:
        return [np.frombuffer(value, PLAIN[column]) for value in self._values(column)]

    def coded(self, column: str) -> tuple[list[Any], NDArray[Any]]:
        """The texts of a column, distinct in each block, and the codes of its entries, (n,).
        Raises Damaged.
        """
        texts: list[Any] = []
        parts = []
        for value in self._values(column):
            head, _, codes = bytes(value).partition(b"\n")
            some, dtype = json.loads(head)
            part = np.frombuffer(codes, dtype)
            parts.append(part + np.int32(len(texts)) if texts else part)
            texts += some
        return texts, _joined(parts)

    def _values(self, column: str) -> list[memoryview]:
        values = self.txn.get_many("columns", [_key(number, column) for number in self.numbers])
        if len(values) < len(self.numbers):
            raise Damaged(
                f"the columns of blocks {self.numbers[0]} to {self.numbers[-1]} are incomplete",
                "build them again from the records: mocosearch verify --repair",
            )
        return values

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


def blocks(txn: Txn) -> Iterator[Blocks]:
    """All blocks of an index, by ascending ids, AT_ONCE together."""
    numbers = _numbers(txn)
    for start in range(0, len(numbers), AT_ONCE):
        yield Blocks(txn, numbers[start : start + AT_ONCE])


def update(txn: Txn) -> None:
    """Bring the blocks up to date with the records that this transaction wrote or deleted; damaged
    records are left out.
    """
    for number, some in groupby(sorted(txn.stale), lambda id: id // BLOCK):
        ids: Iterable[int] = some
        try:
            rows = Blocks(txn, [number]).rows()
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


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
