"""Is everything in an index as it was written, and is it consistent?

Each entry has a checksum, each FAISS index a digest, the encoder its fingerprint; the keys inside
a FAISS index are compared with the stored ones. LMDB has no checksums of its pages; `lmdb.verify`
checks that they form trees. Following broken pages can end a process, so `check` uses another one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from lmdb import verify as lmdb_verify

from indexes.index import Index
from indexes.library.layout import is_complete, is_library, load_layout, shard_folder
from indexes.search import merging, segments
from indexes.search.segments import Segment
from indexes.store import columns, layout
from indexes.store.environment import DATABASES, Store
from indexes.store.locks import WriterLock
from indexes.store.place import DATA
from indexes.store.records import (
    Ids,
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
from mocosearch import processes
from mocosearch.encoder import Card
from mocosearch.encoder.card import fingerprint
from mocosearch.encoder.regions import REGIONS as LAYOUT
from mocosearch.errors import Busy, Damaged, MocosearchError, NotFound, StorageFailed

MOST = 20
"""Faults that are reported one by one."""
LOCK_SECONDS = 10.0
"""How long to wait for a program that changes the index."""
TRIES = 3
"""Checks of the pages without the writer's lock, until none is disturbed by a commit."""
FAILED = 1
"""Python's exit code after an exception."""
UNIT = 0.02
"""How far the length of a stored key may be from 1; the rounding to fp16 is smaller."""


@dataclass(frozen=True)
class Finding:
    """A fault of an index, or a part of it that could not be checked."""

    text: str
    is_fault: bool = True


@dataclass(frozen=True)
class Report:
    """What `check` finds, a line each."""

    faults: list[str]
    unchecked: list[str]
    """What could not be checked, and why."""


def check(folder: Path) -> Report:
    """Check an index, in another process.

    Raises what opening the index raises: Damaged, StorageFailed; and StorageFailed where the
    other process fails.
    """
    Index.open(folder).close()
    ended = subprocess.run(
        processes.command("indexes.verify", os.fspath(folder)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=processes.environment(),
        check=False,
    )
    report = Report([], [])
    for line in ended.stdout.splitlines():
        finding = Finding(**json.loads(line))
        (report.faults if finding.is_fault else report.unchecked).append(finding.text)
    if ended.returncode == FAILED:
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise StorageFailed("the process that checks the index failed", last)
    if ended.returncode:
        report.faults.append("reading it crashes: its file is cut off or overwritten")
    return report


def check_all(folder: Path) -> Report:
    """Check an index, or every shard of a library; then each line begins with a shard's name.

    A shard that is missing is a fault. Raises what `check` raises.
    """
    if not is_library(folder):
        return check(folder)
    whole = Report([], [])
    for shard in load_layout(folder).shards:
        try:
            report = check(shard_folder(folder, shard.name))
        except (Damaged, NotFound) as error:
            report = Report([error.what], [])
        whole.faults.extend(f"shard {shard.name}: {fault}" for fault in report.faults)
        whole.unchecked.extend(f"shard {shard.name}: {part}" for part in report.unchecked)
    return whole


def index_folders(folder: Path) -> list[Path]:
    """The folder of an index alone, or those of the shards of a library that are built."""
    if not is_library(folder):
        return [folder]
    names = [shard.name for shard in load_layout(folder).shards if is_complete(folder, shard.name)]
    return [shard_folder(folder, name) for name in names]


def look(index: Index) -> Iterator[Finding]:
    """Every finding, in this process. Broken pages end the search: LMDB would follow them out of
    its map.
    """
    pages = _pages(index.store)
    yield from pages
    if any(finding.is_fault for finding in pages):
        return
    yield from map(Finding, _contents(index))


def _contents(index: Index) -> Iterator[str]:
    txn = index.txn
    try:
        for database in DATABASES:
            yield from _entries(txn, database)
        yield from _encoder(txn)
        yield from _photos(txn, index.encoder.dimension)
        yield from columns.faults(txn)
        yield from _paths(txn)
        yield from _segments(txn)
        yield from _regions(txn)
    except MocosearchError as error:
        yield error.what
    except Exception:
        # An entry in the place of another can be misread in any way.
        yield "an entry cannot be interpreted"


def _pages(store: Store) -> list[Finding]:
    """The pages of the file, while no other program changes them."""
    lock = _writer_lock(store)
    safe = lock is not None or store.writable
    try:
        for _ in range(TRIES):
            before = _commits(store.folder)
            findings = _page_findings(store.folder, before[1])
            if safe or (before[1] and _commits(store.folder) == before):
                return findings
    finally:
        if lock is not None:
            lock.release()
    return [Finding("the pages of its file: another program keeps changing them", is_fault=False)]


def _writer_lock(store: Store) -> WriterLock | None:
    """None where this store holds it, another program keeps it, or the disk takes no locks."""
    if store.writable:
        return None
    try:
        return WriterLock(store.folder, seconds=LOCK_SECONDS)
    except (Busy, OSError):
        return None


def _commits(folder: Path) -> tuple[int, list[int]]:
    """The inode of the file, and the numbers of its two newest commits, empty if unknown."""
    with open(folder / DATA, "rb") as file:
        start = file.read(2 * max(layout.PAGE_SIZES))
        return os.fstat(file.fileno()).st_ino, [one.number for one in layout.commits(start)]


def _page_findings(folder: Path, commits: list[int]) -> list[Finding]:
    try:
        faults: list[str] = lmdb_verify.verify(folder)  # type: ignore[no-untyped-call]
        findings = [Finding(f"its pages: {fault}") for fault in faults]
    except lmdb_verify.VerifyError as error:
        # The verifier knows the layout of 64-bit systems alone.
        return [Finding(f"the pages of its file: {error}", is_fault=sys.maxsize > 1 << 32)]
    if not commits:
        text = "whether its last commit is lost: its data format is not that of LMDB 0.9"
        return [*findings, Finding(text, is_fault=False)]
    if max(commits) - min(commits) > 1:
        findings.append(Finding("its last commits are not consecutive: one is lost"))
    return findings


def _entries(txn: Txn, database: str) -> Iterator[str]:
    count = 0
    large = database in (segments.PHOTOS.database, segments.REGIONS.database)
    try:
        for _, value in txn.items(database):
            count += 1
            bytes(value[:1] if large else value)
    except MocosearchError as error:
        yield error.what
        return
    if count != txn.count(database):
        yield f"{database} counts {txn.count(database)} entries and holds {count}"


def _encoder(txn: Txn) -> Iterator[str]:
    parts = [txn.view("encoder", name, whole=True) for name in (b"card", b"graph", b"weights")]
    card, graph, weights = (bytes(part) if part is not None else b"" for part in parts)
    if fingerprint(graph, weights) != Card.from_json(card).fingerprint:
        yield "the encoder has another fingerprint than its card says"
    stored = txn.get("meta", b"card")
    if stored is None or bytes(stored).decode() != digest(card):
        yield "the encoder's card differs from its digest"


def _photos(txn: Txn, dimension: int) -> Iterator[str]:
    free = next_id(txn)
    for key, value in txn.items("images"):
        id, record = id_of(key), Record.from_bytes(value)
        if id >= free:
            yield f"photo {id} has an id that will be given again"
        stored = txn.get("digests", bytes.fromhex(record.digest))
        if stored is None or stored != key:
            yield f"photo {id} cannot be found by its content"
        vector = txn.get("vectors", bytes(key))
        if vector is None or len(vector) != 2 * dimension:
            yield f"photo {id} has no key of {dimension} numbers"
        elif not _is_unit(vector):
            yield f"the key of photo {id} is not of unit length"
        for path in record.paths:
            entry = txn.get("paths", path_key(path))
            if entry is None or PathEntry.from_bytes(entry).id != id:
                yield f"photo {id} has the path {path}, whose entry is another photo's or missing"
    for name in ("vectors", "digests"):
        if txn.count(name) != txn.count("images"):
            yield f"{txn.count(name)} {name} for {txn.count('images')} photos"


def _is_unit(vector: memoryview) -> bool:
    length = float(np.linalg.norm(np.frombuffer(vector, np.float16).astype(np.float32)))
    return abs(length - 1) < UNIT or length == 0


def _paths(txn: Txn) -> Iterator[str]:
    roots = Roots.of(txn)
    for key, value in txn.items("paths"):
        entry = PathEntry.from_bytes(value)
        roots.path(entry.path)
        stored = txn.get("images", id_key(entry.id))
        if path_key(entry.path) != bytes(key):
            yield f"{entry.path} is stored under another name"
        if stored is None or entry.path not in Record.from_bytes(stored).paths:
            yield f"{entry.path} belongs to no photo"
    for _, value in txn.items("refused"):
        roots.path(SkippedFile.from_bytes(value).path)


def _segments(txn: Txn) -> Iterator[str]:
    indexed: list[Ids] = []
    for number in segments.numbers(txn):
        name = f"search index {int.from_bytes(number, 'big')}"
        if not segments.intact(txn, number):
            yield f"{name} differs from its digests"
            continue
        segment = segments.view(txn, number)
        indexed.append(segment.ids)
        yield from (f"{name}: {fault}" for fault in _segment_keys(txn, segment))
    ids = np.concatenate([np.empty(0, np.uint64), *indexed])
    live = np.array([id_of(key) for key, _ in txn.items("images")], np.uint64)
    if len(np.unique(ids)) != len(ids):
        yield "a photo is in two search indexes"
    if len(missing := np.setdiff1d(live, ids)):
        yield f"{len(missing)} photos are in no search index"
    if len(np.setdiff1d(np.setdiff1d(ids, live), merging.deleted_ids(txn))):
        yield "a search index holds photos that are no longer in the store"


def _regions(txn: Txn) -> Iterator[str]:
    """Photos without keys of regions are none: `index --parts` gives them some."""
    indexed: list[Ids] = []
    for number in segments.numbers(txn, segments.REGIONS):
        name = f"regions {int.from_bytes(number, 'big')}"
        if not segments.intact(txn, number, segments.REGIONS):
            yield f"{name} differ from their digests"
            continue
        segment = segments.view(txn, number, segments.REGIONS)
        indexed.append(segment.ids)
        if segment.rows != len(LAYOUT):
            yield f"{name}: {segment.rows} regions per photo, not {len(LAYOUT)}"
    ids = np.concatenate([np.empty(0, np.uint64), *indexed])
    live = np.array([id_of(key) for key, _ in txn.items("images")], np.uint64)
    if len(np.unique(ids)) != len(ids):
        yield "the regions of a photo are stored twice"
    if len(np.setdiff1d(np.setdiff1d(ids, live), merging.deleted_ids(txn))):
        yield "there are regions of photos that are no longer in the store"


def _segment_keys(txn: Txn, segment: Segment) -> Iterator[str]:
    """A FAISS index that holds whole keys must hold the stored ones."""
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
        key = np.frombuffer(stored, np.float16).astype(np.float32)
        if not np.array_equal(exact.reconstruct(row), key):
            yield f"the key of photo {id} differs from the stored one"
            return


def main(folder: str) -> None:
    """Write each finding as one line of JSON; exits with 1 where it could not continue."""
    faults = 0

    def write(finding: Finding) -> None:
        sys.stdout.write(json.dumps(asdict(finding)) + "\n")
        sys.stdout.flush()

    with Index.open(Path(folder)) as index:
        for finding in look(index):
            faults += finding.is_fault
            if not finding.is_fault or faults <= MOST:
                write(finding)
    if faults > MOST:
        write(Finding(f"and {faults - MOST} more faults"))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
