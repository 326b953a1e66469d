"""Are the copies in a collection of 100,000 photos found in time, and in little memory?

    python -m benchmarks.duplicates [--count 100000] [--baseline PYTHON]

Keys are clustered and synthetic (benchmarks/keys.py), hashes are drawn bits; one photo in ten is
a copy of another, its key a little moved, its hash in up to 3 bits. All files hold one small PNG:
the files of probable copies are opened to compare their detail, in less time than photos take.
Baselines in the same run, where PYTHON is one that has imagededup (`pip install imagededup`, in
an environment of its own): its PHash search on the same hashes, and the search of its CNN method
on the same keys, each stopped at a time or an amount of memory.
Bars: `mocosearch duplicates`, the whole process, under 60 s and 2 GB, and every copy found; and
under 3 s for 20,000 files that share one hash, and 30 s where they share a key too: then each is
opened.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.keys import clustered, unused_encoder
from benchmarks.measure import (
    HERE,
    arguments,
    conclude,
    mocosearch,
    say,
    table,
    temporary_home,
    title,
)
from indexes import Index
from indexes.copies.compare import BITS, COSINE
from indexes.search import segments
from indexes.store.records import PathEntry, Record, id_key, path_key
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.photos import FileStat
from mocosearch.photos.decode import digest_of

SECONDS, GIGABYTES = 60, 2
SAME_HASH = 20_000
ONE_HASH_SECONDS = {"different keys": 3, "equal keys": 30}
COPIES = 0.1
AT_ONCE = 20_000


@dataclass(frozen=True)
class Collection:
    """Keys fp16 (n, d), hashes uint64 (n,), and for each copy its row and its original's."""

    keys: Any
    hashes: Any
    pairs: Any


@dataclass(frozen=True)
class Outcome:
    """What a search cost, and what it found; `stopped` is why it did not end."""

    seconds: float
    gigabytes: float
    pairs: int | None
    stopped: str = ""

    def cells(self) -> list[str]:
        pairs = self.stopped or f"{self.pairs}"
        return [f"{self.seconds:.1f}", f"{self.gigabytes:.2f}", pairs]


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--count", type=int, default=100_000, help="photos [100000]")
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--baseline", type=Path, help="a Python that has imagededup")
    parser.add_argument("--limit", type=float, default=600, help="seconds of a baseline [600]")
    parser.add_argument("--memory", type=float, default=12, help="gigabytes of one [12]")
    args = parser.parse_args()
    title(__doc__)
    collection = with_copies(args.count, args.dimension)
    rows: list[list[str]] = []
    with temporary_home() as home:
        write_index(home / "index", collection)
        runs = [ours(home / "index", collection) for _ in range(args.runs)]
        worst = max(runs, key=lambda run: run.seconds)
        rows.append(["mocosearch duplicates, whole process", str(args.count), *worst.cells()])
        if args.baseline is None:
            say("imagededup is left out: name a Python that has it with --baseline")
        else:
            for count in (args.count // 10, args.count):
                rows += baselines(args, collection, count)
    table(["search", "photos", "s", "peak GB", "pairs found"], rows)
    print(f"\n{share_found(worst, collection):.1%} of {len(collection.pairs)} copies found")
    conclude(1.0, share_found(worst, collection), what="copies found", unit="")
    conclude(GIGABYTES, worst.gigabytes, what="memory", unit=" GB", most=True)
    conclude(SECONDS, worst.seconds, what=f"{args.count} photos", unit=" s", most=True)
    for kind, most in ONE_HASH_SECONDS.items():
        seconds = one_hash(kind, args.dimension, args.runs)
        what = f"{SAME_HASH} files with one hash and {kind}"
        conclude(most, seconds, what=what, unit=" s", most=True)


def one_hash(kind: str, dimension: int, runs: int) -> float:
    """Seconds for files that share a hash, the slowest of some runs."""
    rng = np.random.default_rng(2)
    keys = rng.standard_normal((SAME_HASH, dimension))
    if kind == "equal keys":
        keys = keys[:1] + 0.02 * keys
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    hashes = np.full(SAME_HASH, 255, np.uint64)
    collection = Collection(keys.astype(np.float16), hashes, np.zeros((0, 2), int))
    with temporary_home() as home:
        write_index(home / "index", collection)
        return max(ours(home / "index", collection).seconds for _ in range(runs))


def with_copies(count: int, dimension: int) -> Collection:
    """Every tenth photo takes the place of a copy of the one before it."""
    rng = np.random.default_rng(1)
    keys = np.concatenate(list(clustered(count, dimension))).astype(np.float32)
    hashes = rng.integers(1, 2**64, count, np.uint64)
    copies = np.arange(1, count, round(1 / COPIES))
    noise = rng.standard_normal((len(copies), dimension)).astype(np.float32)
    keys[copies] = keys[copies - 1] + 0.1 * noise / np.sqrt(dimension)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    hashes[copies] = hashes[copies - 1]
    for _ in range(3):
        turn = np.uint64(1) << rng.integers(0, 64, len(copies), np.uint64)
        hashes[copies] ^= np.where(rng.random(len(copies)) < 0.5, turn, 0).astype(np.uint64)
    return Collection(keys.astype(np.float16), hashes, np.stack([copies - 1, copies], 1))


def write_index(folder: Path, collection: Collection) -> None:
    """An index of them as `index` leaves one, beside empty files in place of photos."""
    say(f"writing {len(collection.keys)} photos")
    photos = folder.with_name("photos")
    photos.mkdir()
    with Index.create(folder, unused_encoder(collection.keys.shape[1])) as index:
        index.store.write(lambda txn: Roots({0: str(photos)}).save(txn))
        for first in range(0, len(collection.keys), AT_ONCE):
            index.store.write(lambda txn, at=first: _put(txn, at, collection, photos))  # type: ignore[misc]


def _put(txn: Txn, first: int, collection: Collection, photos: Path) -> None:
    last = min(first + AT_ONCE, len(collection.keys))
    picture = small_picture()
    for row in range(first, last):
        # What follows the end of a PNG does not change its picture.
        path, data = f"0/{row:07}.png", picture + b"%d" % row
        digest = digest_of(data).hex()
        hash = f"{int(collection.hashes[row]):016x}"
        record = Record(640, 480, "PNG", None, len(data), digest, [path], perceptual=hash)
        txn.put("images", id_key(row + 1), record.to_bytes())
        txn.put("vectors", id_key(row + 1), collection.keys[row].tobytes())
        file = photos / f"{row:07}.png"
        file.write_bytes(data)
        file_stat = FileStat.of(path, file.stat())
        entry = PathEntry(row + 1, file_stat.size, file_stat.mtime, path, file_stat.changed)
        txn.put("paths", path_key(path), entry.to_bytes())
    segments.append(txn, range(first + 1, last + 1), collection.keys[first:last])


def small_picture() -> bytes:
    """A PNG of 8 x 6 grey pixels."""
    file = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def ours(index: Path, collection: Collection) -> Outcome:
    say("mocosearch duplicates")
    run = mocosearch("duplicates", "--index", index, "--json")
    groups = run.json()["groups"]
    by_name = {path: number for number, group in enumerate(groups) for path in group["paths"]}
    photos = index.with_name("photos")
    names = [[str(photos / f"{row:07}.png") for row in pair] for pair in collection.pairs.tolist()]
    together = [by_name.get(a, -1) == by_name.get(b, -2) for a, b in names]
    return Outcome(run.seconds, run.peak / 1e9, sum(together))


def share_found(run: Outcome, collection: Collection) -> float:
    return (run.pairs or 0) / len(collection.pairs)


def baselines(args: Any, collection: Collection, count: int) -> list[list[str]]:
    """Both of imagededup's searches over the first so many photos."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        for method, array, least in (
            ("PHash", collection.hashes[:count], BITS),
            ("CNN", collection.keys[:count].astype(np.float32), COSINE),
        ):
            say(f"imagededup {method}, {count} photos")
            file = Path(folder) / "rows.npy"
            np.save(file, array)
            script = str(HERE / "plain_duplicates.py")
            command = [str(args.baseline), script, method, str(file), str(least)]
            outcome = watched(command, args.limit, args.memory)
            rows.append([f"imagededup {method}, the search alone", str(count), *outcome.cells()])
    return rows


def watched(command: list[str], limit: float, memory: float) -> Outcome:
    """A process and its children, ended when they take too long or too much memory together."""
    start, most, stopped = time.perf_counter(), 0.0, ""
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        while process.poll() is None and not stopped:
            most = max(most, _resident(process))
            if most > memory:
                stopped = f"stopped at {memory:g} GB"
            elif time.perf_counter() - start > limit:
                stopped = f"stopped at {limit:g} s"
            time.sleep(0.05)
    finally:
        for one in [*process.children(recursive=True), process] if process.is_running() else []:
            one.kill()
    lines = process.communicate()[0].splitlines()
    pairs = None
    if not stopped:
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {process.returncode}")
        pairs = json.loads(lines[-1])["pairs"]
    return Outcome(time.perf_counter() - start, most, pairs, stopped)


def _resident(process: psutil.Process) -> float:
    """Gigabytes resident in a process and its children; pages that they share count for each."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 1e9


if __name__ == "__main__":
    main()
