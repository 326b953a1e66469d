"""How fast is search in a million keys? One query, a batch, opening, and adding a thousand.

    python -m benchmarks.million_keys [--count 1000000] [--dimension 256] [--keep FOLDER]

Keys are synthetic (benchmarks/keys.py). Baselines in the same run: exact search; hnswlib where it
is installed (`pip install hnswlib`); the index that autofaiss would choose for the same memory, by
its published rules, because it needs numpy 1 (it takes by far the longest to build). For opening:
`faiss.read_index` of the same bytes as a file. --keep FOLDER keeps the baselines for another run.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.keys import (
    NEAREST,
    clustered,
    create_index,
    merge_all,
    nearest,
    put,
    recall_of,
    searcher,
    stored_keys,
    time_queries,
)
from benchmarks.measure import conclude, middle, say, table, title
from indexes import Index
from indexes.search import segments

QUERIES = 1000
BAR_MS = 1.5

OPENING = """
import json, sys, time, numpy as np, faiss
from pathlib import Path
way, where, dimension = sys.argv[1], sys.argv[2], int(sys.argv[3])
def private():
    # Dirty pages of the mapped file are not a copy: the system can write and drop them.
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(r.split()[1]) for r in rows if r.startswith("Anonymous:"))
query = np.full((1, dimension), dimension ** -0.5, "f4")
import indexes.index
if way == "mocosearch":
    from indexes import Index
    before, begun = private(), time.perf_counter()
    index = Index.open(Path(where))
    for segment in index.snapshot.segments:
        segment.search(query, 10)
else:
    before, begun = private(), time.perf_counter()
    index = faiss.read_index(where)
    index.search(query, 10)
seconds = time.perf_counter() - begun
print(json.dumps({"ms": 1000 * seconds, "kb": private() - before}))
"""


def main() -> None:
    """Print the tables and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--kind", default="auto", help="a factory string of FAISS [auto]")
    parser.add_argument("--keep", type=Path, help="folder for the baselines' indexes [none]")
    parser.add_argument("--alone", action="store_true", help="skip the baselines")
    options = parser.parse_args()
    title(__doc__)
    queries = np.concatenate(list(clustered(QUERIES, options.dimension, seed=7)))
    queries = queries.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        home = Path(folder)
        say(f"{options.count} keys of {options.dimension} numbers")
        begun = time.perf_counter()
        index = create_index(home / "index", options.count, options.dimension)
        index.configure(options.kind, options.recall)
        say(f"written in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        merge_all(index)
        took = time.perf_counter() - begun
        parts = index.info()["segment_list"]
        print(f"built in {took:.0f} s: {json.dumps(parts)}\n", flush=True)
        truth = nearest(index, queries)
        ours = time_queries(searcher(index), queries, truth, repeats=3)
        _conclude(ours)
        _open(index, home, options.dimension)
        others = np.concatenate([piece.astype(np.float32) for piece in stored_keys(index)])
        blob = sum(part["bytes"] for part in index.info()["segment_list"])
        _append(index, options)
        index.close()
        _cold(home / "index", options.dimension)
    # The baselines take long to build, that of autofaiss most of an hour.
    if not options.alone:
        with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
            keep = options.keep or Path(folder)
            _beside(others, blob, queries, truth, ours, options.recall, keep)


def _conclude(ours: tuple[float, float, float]) -> None:
    one, many, recall = ours
    conclude(0.98, recall, what="recall@10 against exact", unit="")
    conclude(BAR_MS, one, what="one query", unit=" ms", most=True)
    conclude(5000, many, what="a batch of 1,000", unit=" queries/s")


def _beside(
    everything: Any,
    blob: int,
    queries: Any,
    truth: Any,
    ours: tuple[float, float, float],
    recall: float,
    keep: Path,
) -> None:
    faiss = segments.load_faiss()
    flat = faiss.IndexFlatIP(everything.shape[1])
    flat.add(everything)
    exact = time_queries(lambda some, in_=flat: in_.search(some, NEAREST)[1], queries[:100], truth)
    rows = {"mocosearch": ours, "exact (FAISS Flat)": exact}
    del flat
    if importlib.util.find_spec("hnswlib") is None:
        say("hnswlib is not installed: skipped")
    else:
        hnswlib = _hnswlib(everything, queries, truth, recall, keep)
        rows["hnswlib"] = time_queries(hnswlib, queries, truth)
    rows["autofaiss' choice"] = time_queries(_autofaiss(everything, blob, keep), queries, truth)
    heads = ["way", "one query, ms (median)", "batch, queries/s", "recall@10"]
    print()
    table(
        heads,
        [[name, f"{one:.2f}", f"{many:.0f}", f"{r:.3f}"] for name, (one, many, r) in rows.items()],
    )


def _hnswlib(everything: Any, queries: Any, truth: Any, recall: float, keep: Path) -> Any:
    import hnswlib  # type: ignore[import-not-found]

    place = keep / f"{len(everything)}x{everything.shape[1]}.hnswlib"
    index = hnswlib.Index("ip", everything.shape[1])
    if place.exists():
        index.load_index(str(place))
    else:
        index.init_index(len(everything), M=16, ef_construction=100)
        begun = time.perf_counter()
        index.add_items(everything)
        say(f"hnswlib built in {time.perf_counter() - begun:.0f} s")
        index.save_index(str(place))
    # The fewest nodes that reach the recall, tuned on the queries themselves.
    for ef in (10, 15, 20, 30, 40, 60, 80, 120, 200):
        index.set_ef(ef)
        if recall_of(index.knn_query(queries, NEAREST)[0], truth) >= recall:
            break
    say(f"hnswlib: ef {ef}")
    return lambda some: index.knn_query(some, NEAREST)[0]


def _autofaiss(everything: Any, blob: int, keep: Path) -> Any:
    """The index that autofaiss would build, by its published rules: it needs numpy 1."""
    faiss = segments.load_faiss()
    count, dimension = everything.shape
    kind = autofaiss_kind(count, dimension, blob)
    place = keep / f"{count}x{dimension} {kind}.faiss"
    if place.exists():
        index = faiss.read_index(str(place))
    else:
        index = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
        inner = faiss.try_extract_index_ivf(index)
        begun = time.perf_counter()
        if inner is not None:
            index.train(everything[:: max(1, count // (100 * inner.nlist))])
        index.add(everything)
        say(f"autofaiss' choice built in {time.perf_counter() - begun:.0f} s")
        faiss.write_index(index, str(place))
    graph = kind.startswith("HNSW")
    sample = everything[:: max(1, count // 100)]
    # It takes the slowest settings that stay within the time.
    best = ""
    for power in range(4 if graph else 0, 12):
        settings = f"{'efSearch' if graph else 'nprobe'}={2**power}"
        faiss.ParameterSpace().set_index_parameters(index, settings)
        if _milliseconds(index, sample) > BAR_MS:
            break
        best = settings
    if best:
        faiss.ParameterSpace().set_index_parameters(index, best)
    say(f"autofaiss' choice: {kind}, {best}")
    return lambda some: index.search(some, NEAREST)[1]


def _milliseconds(index: Any, queries: Any) -> float:
    took = []
    for query in queries:
        begun = time.perf_counter()
        index.search(query[None], NEAREST)
        took.append(1000 * (time.perf_counter() - begun))
    return middle(took)


def autofaiss_kind(count: int, dimension: int, most: int) -> str:
    """The factory string that autofaiss 2.18 chooses for a number of keys and bytes of memory.

    Source: `get_optimal_index_keys_v2` in its `external/optimize.py`: a graph if it fits into the
    memory, else lists of float32 keys below a million, else the longest product codes that fit.
    """
    links = int((most / (4 * count) - dimension) // 2)
    if links >= 8:
        return f"HNSW{min(links, 32)}"
    lists = 1 << round(np.log2(4 * np.sqrt(count)))
    if count >= 1_000_000:
        lists = 16_384 if count < 10_000_000 else 65_536
    if count < 1_000_000 and 4 * dimension + 8 <= most / count:
        return f"IVF{lists},Flat"
    for codes in (256, 128, 64, 48, 32, 24, 16, 8, 4):
        if codes < dimension and codes + 8 <= most / count:
            turned = (min(dimension // codes, 6) + 1) * codes
            coarse = f"IVF{lists}" if lists < 1000 else f"IVF{lists}_HNSW32"
            return f"OPQ{codes}_{turned},{coarse},PQ{codes}x8"
    raise ValueError(f"autofaiss has no kind for {count} keys in {most} bytes")


def _open(index: Index, home: Path, dimension: int) -> None:
    number = max(
        segments.numbers(index.txn), key=lambda n: len(segments.part(index.txn, n, b"faiss"))
    )
    blob = segments.part(index.txn, number, b"faiss")
    (home / "plain.faiss").write_bytes(blob)
    size = len(blob)
    where = {"mocosearch": home / "index", "faiss.read_index": home / "plain.faiss"}
    rows, figures = [], {}
    for way, place in where.items():
        runs = [_opened(way, place, dimension) for _ in range(5)]
        figures[way] = (middle(r["ms"] for r in runs), 1024 * middle(r["kb"] for r in runs) / size)
        rows.append([way, f"{figures[way][0]:.1f}", f"{figures[way][1]:.1%}"])
    print()
    table(["open and first query", "ms (median of 5)", "memory allocated, share of the blob"], rows)
    conclude(30, figures["mocosearch"][0], what="open and first query", unit=" ms", most=True)
    conclude(5, 100 * figures["mocosearch"][1], what="memory allocated", unit="%", most=True)


def _opened(way: str, place: Path, dimension: int) -> dict[str, float]:
    """In a process of its own: milliseconds to open and query, and KiB allocated."""
    words = [sys.executable, "-c", OPENING, way, str(place), str(dimension)]
    output = subprocess.run(words, check=True, capture_output=True).stdout
    return dict(json.loads(output))


def _cold(folder: Path, dimension: int) -> None:
    """Open and query with nothing of the file in memory, as for the first query of a day."""
    took = []
    for _ in range(3):
        with open(folder / "data.mdb", "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        took.append(_opened("mocosearch", folder, dimension)["ms"])
    print(f"\nthe same from the disk, nothing of it in memory: {middle(took):.0f} ms", flush=True)


def _append(index: Index, options: argparse.Namespace) -> None:
    keys = next(clustered(1000, options.dimension, seed=11))
    index.refresh()
    begun = time.perf_counter()
    index.store.write(lambda txn: put(txn, options.count + 1, keys))
    index.merge()
    (best,) = index.query(keys[:1].astype(np.float32), 1)[0]
    took = time.perf_counter() - begun
    if best.id != options.count + 1:
        sys.exit(f"a search does not return the new key: {best}")
    conclude(1, took, what="1,000 keys more, visible after", unit=" s", most=True)


if __name__ == "__main__":
    main()
