"""Is everything in an index as it was written, and does it fit together?

Each entry has a checksum, each FAISS index a digest, the encoder its fingerprint; the keys inside
a FAISS index are compared with the stored ones. LMDB has no checksums of its own pages, and
walking broken ones can end a process, so `faults` has another process look.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from indexes.index import Index
from indexes.search import merging, segments
from indexes.search.segments import Ids, Segment
from indexes.store import pages
from indexes.store.environment import DATABASES
from indexes.store.records import (
    PathEntry,
    Record,
    SkippedFile,
    digest,
    id_key,
    id_of,
    next_id,
    path_key,
)
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.encoder import Card
from mocosearch.encoder.card import fingerprint
from mocosearch.errors import MocosearchError, StorageFailed

MOST = 20
"""Faults told of one kind."""
FAILED = 1
"""How Python ends that met an error of its own."""
UNIT = 0.02
"""How far from 1 the length of a stored key may be; fp16 rounds by less."""


def faults(folder: Path) -> list[str]:
    """What is wrong with an index, a line each; empty where all is well.

    Raises what opening it raises, where that fails: Damaged, StorageFailed.
    """
    Index.open(folder).close()
    words = [sys.executable, "-P", "-m", "indexes.verify", os.fspath(folder)]
    ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    found: list[str] = [json.loads(line) for line in ended.stdout.splitlines()]
    if ended.returncode == FAILED:
        said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise StorageFailed("the process that looks could not go on", said)
    if ended.returncode:
        found.append("its pages cannot be walked: the file is cut or overwritten")
    return found


def look(index: Index) -> Iterator[str]:
    """Every fault, in this process, up to one that nothing can be said beyond."""
    txn = index.txn
    torn = list(pages.faults(index.store))
    yield from torn
    if torn:
        # LMDB follows broken pages wherever they lead, out of its map as well.
        return
    try:
        for database in DATABASES:
            yield from _readable(txn, database)
        yield from _encoder(txn)
        yield from _photos(txn, index.encoder.dimension)
        yield from _paths(txn)
        yield from _segments(txn)
    except MocosearchError as error:
        yield error.what
    except Exception:
        # An entry in another's place can be misread in any way.
        yield "an entry makes no sense"


def _readable(txn: Txn, database: str) -> Iterator[str]:
    count = 0
    try:
        for _, value in txn.items(database):
            count += 1
            bytes(value[:1] if database == "segments" else value)
    except MocosearchError as error:
        yield error.what
        return
    if count != txn.count(database):
        yield f"{database} counts {txn.count(database)} entries and holds {count}"


def _encoder(txn: Txn) -> Iterator[str]:
    parts = [txn.mapped("encoder", name, whole=True) for name in (b"card", b"graph", b"weights")]
    card, graph, weights = (bytes(part) if part is not None else b"" for part in parts)
    told = Card.from_json(card)
    if fingerprint(graph, weights) != told.fingerprint:
        yield "the encoder is not the one that its card tells of"
    stored = txn.get("meta", b"card")
    if stored is None or bytes(stored).decode() != digest(card):
        yield "the encoder's card is not as written"


def _photos(txn: Txn, dimension: int) -> Iterator[str]:
    given = next_id(txn)
    for key, value in txn.items("images"):
        id, record = id_of(key), Record.from_bytes(value)
        if id >= given:
            yield f"photo {id} has an id that will be given again"
        digest = txn.get("digests", bytes.fromhex(record.digest))
        if digest is None or digest != key:
            yield f"photo {id} cannot be found by its content"
        vector = txn.get("vectors", bytes(key))
        if vector is None or len(vector) != 2 * dimension:
            yield f"photo {id} has no key of {dimension} numbers"
        elif not _unit(vector):
            yield f"the key of photo {id} is not of unit length"
        for path in record.paths:
            entry = txn.get("paths", path_key(path))
            if entry is None or PathEntry.from_bytes(entry).id != id:
                yield f"photo {id} does not lie at {path}"
    for name in ("vectors", "digests"):
        if txn.count(name) != txn.count("images"):
            yield f"{txn.count(name)} {name} for {txn.count('images')} photos"


def _unit(vector: memoryview) -> bool:
    length = float(np.linalg.norm(np.frombuffer(vector, np.float16).astype(np.float32)))
    return abs(length - 1) < UNIT or length == 0


def _paths(txn: Txn) -> Iterator[str]:
    known = Roots.of(txn)
    for key, value in txn.items("paths"):
        entry = PathEntry.from_bytes(value)
        known.path(entry.path)
        stored = txn.get("images", id_key(entry.id))
        if path_key(entry.path) != bytes(key):
            yield f"{entry.path} is kept under another name"
        if stored is None or entry.path not in Record.from_bytes(stored).paths:
            yield f"{entry.path} stands for no photo"
    for _, value in txn.items("refused"):
        known.path(SkippedFile.from_bytes(value).path)


def _segments(txn: Txn) -> Iterator[str]:
    held: list[Ids] = []
    for number in segments.numbers(txn):
        name = f"search index {int.from_bytes(number, 'big')}"
        if not segments.intact(txn, number):
            yield f"{name} is not as written"
            continue
        segment = segments.view(txn, number)
        held.append(segment.ids)
        yield from (f"{name}: {fault}" for fault in _keys_of(txn, segment))
    ids = np.concatenate([np.empty(0, np.uint64), *held])
    live = np.array([id_of(key) for key, _ in txn.items("images")], np.uint64)
    if len(np.unique(ids)) != len(ids):
        yield "a photo stands in two search indexes"
    if len(lost := np.setdiff1d(live, ids)):
        yield f"{len(lost)} photos stand in no search index"
    if len(np.setdiff1d(np.setdiff1d(ids, live), merging.masked(txn))):
        yield "a search index holds photos that are gone"


def _keys_of(txn: Txn, segment: Segment) -> Iterator[str]:
    """Where a FAISS index holds whole keys, they are the stored ones."""
    faiss = segments.load_faiss()
    index = segment.index
    exact = index.refine_index if isinstance(index, faiss.IndexRefine) else index
    exact = faiss.downcast_index(exact)
    if not isinstance(exact, faiss.IndexScalarQuantizer | faiss.IndexFlat):
        return
    for row, id in enumerate(segment.ids):
        stored = txn.get("vectors", id_key(int(id)))
        if stored is None:
            continue
        wanted = np.frombuffer(stored, np.float16).astype(np.float32)
        if not np.array_equal(exact.reconstruct(row), wanted):
            yield f"the key of photo {id} differs from the stored one"
            return


def main(folder: str) -> None:
    """Write each fault as one line of JSON; ends with 1 where it could not go on."""
    told = 0
    with Index.open(Path(folder)) as index:
        for fault in look(index):
            if told < MOST:
                sys.stdout.write(json.dumps(fault) + "\n")
                sys.stdout.flush()
            told += 1
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
