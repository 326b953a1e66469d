"""Is a million keys found fast enough? One query, a batch, the opening, and adding a thousand.

    python -m benchmarks.million_keys [--count 1000000] [--dimension 256]

Keys are clustered and synthetic (benchmarks/keys.py). Baselines in the same run: exact search,
and hnswlib and autofaiss where they are installed (`pip install hnswlib autofaiss`); to open,
`faiss.read_index` of the same bytes as a file.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.keys import built, clustered, filled, put
from benchmarks.measure import conclude, machine, middle, say, table
from indexes import Index, merging, segments

QUESTIONS = 1000
NEAREST = 10

OPENING = """
import json, sys, time, numpy as np, faiss
from pathlib import Path
way, where, dimension = sys.argv[1], sys.argv[2], int(sys.argv[3])
def private():
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(r.split()[1]) for r in rows if r.startswith(("Private_Dirty", "Anonymous")))
question = np.full((1, dimension), dimension ** -0.5, "f4")
import indexes.index
if way == "mocosearch":
    from indexes import Index, segments
    from indexes.store import Store
    before, begun = private(), time.perf_counter()
    index = Index.open(Path(where))
    for part in index.prepare():
        part.search(question, 10, np.empty(0, np.uint64))
else:
    before, begun = private(), time.perf_counter()
    index = faiss.read_index(where)
    index.search(question, 10)
seconds = time.perf_counter() - begun
print(json.dumps({"ms": 1000 * seconds, "kb": (private() - before) / 2}))
"""


def main() -> None:
    """Print the tables and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--recall", type=float, default=0.98)
    asked = parser.parse_args()
    print(f"{(__doc__ or '').splitlines()[0]}\n{machine()}\n", flush=True)
    questions = np.concatenate(list(clustered(QUESTIONS, asked.dimension, seed=7)))
    questions = questions.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        home = Path(folder)
        say(f"{asked.count} keys of {asked.dimension} numbers")
        begun = time.perf_counter()
        index = filled(home / "index", asked.count, asked.dimension)
        index.reshape(recall=asked.recall)
        say(f"written in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        built(index)
        took = time.perf_counter() - begun
        told = index.info()["segment_list"]
        print(f"built in {took:.0f} s: {json.dumps(told)}\n", flush=True)
        _search(index, questions, asked.dimension)
        _open(index, home, asked.dimension)
        _append(index, asked)
        index.close()


def _search(index: Index, questions: Any, dimension: int) -> None:
    everything = np.concatenate([piece.astype(np.float32) for piece in _keys(index)])
    truth = _exact(everything, questions)
    opened = index.prepare()
    none = np.empty(0, np.uint64)

    def ours(some: Any) -> Any:
        found = [part.search(some, NEAREST, none) for part in opened]
        scores = np.concatenate([s for s, _ in found], 1)
        ids = np.concatenate([i for _, i in found], 1)
        best = np.argsort(-scores, axis=1)[:, :NEAREST]
        return np.take_along_axis(ids, best, 1).astype(np.int64) - 1

    rows = {"mocosearch": _timed(ours, questions, truth, repeats=3)}
    faiss = segments.load_faiss()
    flat = faiss.IndexFlatIP(dimension)
    flat.add(everything)
    rows["exact (FAISS Flat)"] = _timed(
        lambda some, index=flat: index.search(some, NEAREST)[1], questions[:100], truth
    )
    for name, way in (("hnswlib", _hnswlib), ("autofaiss", _autofaiss)):
        if importlib.util.find_spec(name) is None:
            say(f"{name} is not installed: left out")
            continue
        blob = sum(part["bytes"] for part in index.info()["segment_list"])
        rows[name] = _timed(way(everything, blob), questions, truth)
    heads = ["way", "one query, ms (median)", "batch, queries/s", "recall@10"]
    table(
        heads,
        [[name, f"{one:.2f}", f"{many:.0f}", f"{r:.3f}"] for name, (one, many, r) in rows.items()],
    )
    one, many, recall = rows["mocosearch"]
    conclude(0.98, recall, what="recall@10 against exact", unit="")
    conclude(1.5, one, what="one query", unit=" ms", most=True)
    conclude(5000, many, what="a batch of 1,000", unit=" queries/s")


def _keys(index: Index) -> Any:
    count = index.txn.count("vectors")
    return segments.read_keys(index.txn, np.arange(1, count + 1, dtype=np.uint64))


def _exact(everything: Any, questions: Any) -> Any:
    best = np.empty((len(questions), NEAREST), np.int64)
    for first in range(0, len(questions), 50):
        scores = questions[first : first + 50] @ everything.T
        best[first : first + 50] = np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST]
    return best


def _timed(way: Any, questions: Any, truth: Any, repeats: int = 1) -> tuple[float, float, float]:
    """Milliseconds of one query, queries a second in a batch, recall."""
    way(questions[:10])
    ones, batches = [], []
    for question in questions[:300]:
        begun = time.perf_counter()
        way(question[None])
        ones.append(1000 * (time.perf_counter() - begun))
    for _ in range(repeats):
        begun = time.perf_counter()
        found = way(questions)
        batches.append(len(questions) / (time.perf_counter() - begun))
    pairs = zip(found, truth, strict=False)
    recall = np.mean([len(set(f) & set(t)) / NEAREST for f, t in pairs])
    return middle(ones), max(batches), float(recall)


def _hnswlib(everything: Any, blob: int) -> Any:
    import hnswlib  # type: ignore[import-not-found]

    made = hnswlib.Index("ip", everything.shape[1])
    made.init_index(len(everything), M=16, ef_construction=100)
    begun = time.perf_counter()
    made.add_items(everything)
    say(f"hnswlib built in {time.perf_counter() - begun:.0f} s")
    made.set_ef(200)
    return lambda some: made.knn_query(some, NEAREST)[0]


def _autofaiss(everything: Any, blob: int) -> Any:
    from autofaiss import build_index  # type: ignore[import-not-found]

    made, _ = build_index(
        everything,
        save_on_disk=False,
        metric_type="ip",
        max_index_memory_usage=f"{blob // 1_000_000}MB",
        max_index_query_time_ms=1.5,
        verbose=30,
    )
    return lambda some: made.search(some, NEAREST)[1]


def _open(index: Index, home: Path, dimension: int) -> None:
    number = max(
        segments.numbers(index.txn), key=lambda n: len(segments.part(index.txn, n, b"faiss"))
    )
    blob = segments.part(index.txn, number, b"faiss")
    (home / "plain.faiss").write_bytes(blob)
    size = len(blob)
    where = {"mocosearch": home / "index", "faiss.read_index": home / "plain.faiss"}
    rows, told = [], {}
    for way, place in where.items():
        words = [sys.executable, "-c", OPENING, way, str(place), str(dimension)]
        runs = [
            json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
            for _ in range(5)
        ]
        told[way] = (middle(r["ms"] for r in runs), 1024 * middle(r["kb"] for r in runs) / size)
        rows.append([way, f"{told[way][0]:.1f}", f"{told[way][1]:.1%}"])
    print()
    table(["open and first query", "ms (median of 5)", "private memory, share of the blob"], rows)
    conclude(30, told["mocosearch"][0], what="open and first query", unit=" ms", most=True)
    conclude(5, 100 * told["mocosearch"][1], what="private memory", unit="%", most=True)


def _append(index: Index, asked: argparse.Namespace) -> None:
    keys = next(clustered(1000, asked.dimension, seed=11))
    index.refresh()
    begun = time.perf_counter()
    index.store.write(lambda txn: put(txn, asked.count + 1, keys))
    merging.merge(index.store)
    index.refresh()
    (best,) = index.query(keys[:1].astype(np.float32), 1)[0]
    took = time.perf_counter() - begun
    if best.id != asked.count + 1:
        sys.exit(f"the new key is not found: {best}")
    conclude(1, took, what="1,000 keys more, visible after", unit=" s", most=True)


if __name__ == "__main__":
    main()
