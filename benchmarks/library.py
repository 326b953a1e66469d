"""How fast and how exact is a query of a library of ten million keys in ten shards?

    python -m benchmarks.library [--count 10000000] [--shards 10] [--dimension 128] [--recall 0.9]

Keys are synthetic (benchmarks/keys.py). The first shard trains the lists, and the others use them.
Each shard is tuned to a recall of .9 for its own ten nearest keys; of the ten nearest of all, more
are found, because a shard has only one or two of them.
Baseline in the same run: a comparison with every stored key, and the shards one after the other.
Needs about 11 GB in the temporary folder (TMPDIR) for ten million keys. On 2 cores: taskset -c 0,1.
Memory is what the process allocated; pages of the mapped files, which the system can drop, are
listed separately.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.keys import NEAREST, clustered, plain_record, recall_of, unused_encoder
from benchmarks.measure import conclude, middle, say, table, title
from benchmarks.ten_million_keys import GIB, peaks
from indexes.library.build import create_store, finish, publish
from indexes.library.layout import BLOCK, Layout, ShardPlan, shard_folder, shard_name
from indexes.library.planning import _kind
from indexes.search import segments
from indexes.shards import Library
from indexes.store.environment import Store
from indexes.store.records import id_key
from indexes.store.txn import CHECKSUM, Txn, _checksum

QUERIES = 300
PIECE = 50_000


def main() -> None:
    """Print the tables and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--recall", type=float, default=0.9)
    options = parser.parse_args()
    title(__doc__)
    queries = np.concatenate(list(clustered(QUERIES, options.dimension, seed=7)))
    queries = queries.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as name:
        folder = Path(name) / "library"
        begun = time.perf_counter()
        with peaks() as peak:
            truth = build(folder, options, queries)
        say(f"built in {time.perf_counter() - begun:.0f} s; {peak['RssAnon'] / GIB:.2f} GiB")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"the files have {size / GIB:.2f} GiB: {size / options.count:.0f} bytes per photo\n")
        measure(folder, queries, truth)


def build(folder: Path, options: argparse.Namespace, queries: Any) -> Any:
    """Build the shards; returns the ids of each query's nearest keys."""
    encoder = unused_encoder(options.dimension)
    each = options.count // options.shards
    plans = [ShardPlan(shard_name(n), (n,), 1, each) for n in range(options.shards)]
    kind = _kind("auto", each)
    layout = Layout(encoder.fingerprint, kind, options.recall, (), (), plans, options.shards)
    folder.mkdir()
    layout.save(folder)
    keys = clustered(options.count, options.dimension)
    truth: Any = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.uint64)
    for shard in plans:
        begun = time.perf_counter()
        place = Path(folder.parent) / shard.name
        place.mkdir()
        store = create_store(place, layout, encoder, shard.numbers[0])
        first = shard.numbers[0] * BLOCK + 1
        for piece in islice(keys, each // PIECE):
            put(store, first, piece)
            truth = nearest(truth, queries, piece, first)
            first += len(piece)
        written = time.perf_counter()
        finish(store, folder, shard.name)
        with store.read() as txn:
            about = segments.about(txn, segments.numbers(txn)[0])
        publish(store, shard_folder(folder, shard.name))
        store.close()
        shutil.rmtree(place)
        done = time.perf_counter()
        say(
            f"shard {shard.name}: {written - begun:.0f} s to write, {done - written:.0f} s to build"
        )
        say(f"{about.kind}, {about.settings}, recall {about.recall:.3f}")
    return truth[1]


def put(store: Store, first: int, keys: Any) -> None:
    """Photos with keys from an id on, as one exact segment: quickly, without columns."""

    def change(txn: Txn) -> None:
        ids = range(first, first + len(keys))
        records = [plain_record(id).to_bytes() for id in ids]
        _put_many(txn, "images", zip(ids, records, strict=True))
        _put_many(txn, "vectors", zip(ids, (key.tobytes() for key in keys), strict=True))
        segments.append(txn, ids, keys)

    store.write(change)


def _put_many(txn: Txn, database: str, values: Iterator[tuple[int, bytes]]) -> None:
    assert CHECKSUM == 4
    items = [(key := id_key(id), value + _checksum(key, value)) for id, value in values]
    with txn.raw.cursor(txn.databases[database]) as cursor:
        cursor.putmulti(items, append=True)


def nearest(best: Any, queries: Any, keys: Any, first: int) -> Any:
    """The scores and ids of each query's NEAREST keys, with some more keys."""
    cosines = queries @ keys.astype(np.float32).T
    rows = np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]
    scores = np.concatenate([best[0], np.take_along_axis(cosines, rows, 1)], 1)
    ids = np.concatenate([best[1], rows.astype(np.uint64) + np.uint64(first)], 1)
    order = np.argsort(-scores, axis=1)[:, :NEAREST]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def measure(folder: Path, queries: Any, truth: Any) -> None:
    """Print how fast and how exact queries are, and what memory they take."""
    begun = time.perf_counter()
    library = Library.open(folder)
    library.open_segments()
    opened = time.perf_counter() - begun
    with library, peaks() as peak:
        library.answer(library.question(queries[0]), 10)
        snapshot = library.snapshot
        for query in queries:
            snapshot.search(query[None], NEAREST, None)
        times: dict[str, list[float]] = {"search": [], "one after the other": [], "answer": []}
        results = []
        for query in queries:
            begun = time.perf_counter()
            results.append(snapshot.search(query[None], NEAREST, None)[1][0])
            searched = time.perf_counter()
            for part in snapshot.parts:
                part.search(query[None], NEAREST, None)
            one_by_one = time.perf_counter()
            library.answer(library.question(query), NEAREST)
            done = time.perf_counter()
            times["search"].append(1000 * (searched - begun))
            times["one after the other"].append(1000 * (one_by_one - searched))
            times["answer"].append(1000 * (done - one_by_one))
    recall = recall_of([row.tolist() for row in results], [row.tolist() for row in truth])
    names = {
        "search": "10 nearest, shards in parallel",
        "one after the other": "the same, one shard after the other",
        "answer": "whole answer: 100 nearest, re-ranked, copies folded",
    }
    rows = [[names[name], f"{middle(some):.2f}"] for name, some in times.items()]
    table(["way", "one query, ms"], rows)
    print(f"\nopened in {1000 * opened:.0f} ms")
    print(f"{peak['RssAnon'] / GIB:.2f} GiB allocated, {peak['RssFile'] / GIB:.2f} GiB mapped")
    conclude(0.95, recall, what="recall@10 against exact", unit="")
    conclude(15, middle(times["search"]), what="one query", unit=" ms", most=True)
    conclude(4, peak["RssAnon"] / GIB, what="memory allocated", unit=" GiB", most=True)


if __name__ == "__main__":
    main()
