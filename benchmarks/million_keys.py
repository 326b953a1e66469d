"""Is a million keys found fast enough? One query, a batch, the opening, and adding a thousand.

    python -m benchmarks.million_keys [--count 1000000] [--dimension 256] [--keep FOLDER]

Keys are clustered and synthetic (benchmarks/keys.py). Baselines in the same run: exact search,
hnswlib where it is installed (`pip install hnswlib`), and what autofaiss would choose for the same
memory, by its published rules, as it asks for numpy 1 (it takes by far the longest to build); to
open, `faiss.read_index` of the same bytes as a file. What the others build is kept for another run
in --keep FOLDER, where one is named.
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
    built,
    clustered,
    filled,
    nearest,
    put,
    recall_of,
    searcher,
    stored,
    timed,
)
from benchmarks.measure import conclude, middle, say, table, title
from indexes import Index
from indexes.search import merging, segments

QUESTIONS = 1000
BAR_MS = 1.5

OPENING = """
import json, sys, time, numpy as np, faiss
from pathlib import Path
way, where, dimension = sys.argv[1], sys.argv[2], int(sys.argv[3])
def private():
    # Dirty pages of the mapped file, which the system may write and drop, are no copy.
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(r.split()[1]) for r in rows if r.startswith("Anonymous:"))
question = np.full((1, dimension), dimension ** -0.5, "f4")
import indexes.index
if way == "mocosearch":
    from indexes import Index
    from indexes.search import segments
    from indexes.store.environment import Store
    before, begun = private(), time.perf_counter()
    index = Index.open(Path(where))
    for part in index.prepare():
        part.search(question, 10, np.empty(0, np.uint64))
else:
    before, begun = private(), time.perf_counter()
    index = faiss.read_index(where)
    index.search(question, 10)
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
    parser.add_argument("--keep", type=Path, help="where the others' indexes are kept [nowhere]")
    parser.add_argument("--alone", action="store_true", help="leave the others out")
    asked = parser.parse_args()
    title(__doc__)
    questions = np.concatenate(list(clustered(QUESTIONS, asked.dimension, seed=7)))
    questions = questions.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        home = Path(folder)
        say(f"{asked.count} keys of {asked.dimension} numbers")
        begun = time.perf_counter()
        index = filled(home / "index", asked.count, asked.dimension)
        index.configure(asked.kind, asked.recall)
        say(f"written in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        built(index)
        took = time.perf_counter() - begun
        told = index.info()["segment_list"]
        print(f"built in {took:.0f} s: {json.dumps(told)}\n", flush=True)
        truth = nearest(index, questions)
        ours = timed(searcher(index), questions, truth, repeats=3)
        _told_of(ours)
        _open(index, home, asked.dimension)
        others = np.concatenate([piece.astype(np.float32) for piece in stored(index)])
        blob = sum(part["bytes"] for part in index.info()["segment_list"])
        _append(index, asked)
        index.close()
        _cold(home / "index", asked.dimension)
    # They take long to build, autofaiss' choice most of an hour.
    if not asked.alone:
        with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
            keep = asked.keep or Path(folder)
            _beside(others, blob, questions, truth, ours, asked.recall, keep)


def _told_of(ours: tuple[float, float, float]) -> None:
    one, many, recall = ours
    conclude(0.98, recall, what="recall@10 against exact", unit="")
    conclude(BAR_MS, one, what="one query", unit=" ms", most=True)
    conclude(5000, many, what="a batch of 1,000", unit=" queries/s")


def _beside(
    everything: Any,
    blob: int,
    questions: Any,
    truth: Any,
    ours: tuple[float, float, float],
    recall: float,
    keep: Path,
) -> None:
    faiss = segments.load_faiss()
    flat = faiss.IndexFlatIP(everything.shape[1])
    flat.add(everything)
    exact = timed(lambda some, in_=flat: in_.search(some, NEAREST)[1], questions[:100], truth)
    rows = {"mocosearch": ours, "exact (FAISS Flat)": exact}
    del flat
    if importlib.util.find_spec("hnswlib") is None:
        say("hnswlib is not installed: left out")
    else:
        rows["hnswlib"] = timed(
            _hnswlib(everything, questions, truth, recall, keep), questions, truth
        )
    rows["autofaiss' choice"] = timed(_autofaiss(everything, blob, keep), questions, truth)
    heads = ["way", "one query, ms (median)", "batch, queries/s", "recall@10"]
    print()
    table(
        heads,
        [[name, f"{one:.2f}", f"{many:.0f}", f"{r:.3f}"] for name, (one, many, r) in rows.items()],
    )


def _hnswlib(everything: Any, questions: Any, truth: Any, recall: float, keep: Path) -> Any:
    import hnswlib  # type: ignore[import-not-found]

    place = keep / f"{len(everything)}x{everything.shape[1]}.hnswlib"
    made = hnswlib.Index("ip", everything.shape[1])
    if place.exists():
        made.load_index(str(place))
    else:
        made.init_index(len(everything), M=16, ef_construction=100)
        begun = time.perf_counter()
        made.add_items(everything)
        say(f"hnswlib built in {time.perf_counter() - begun:.0f} s")
        made.save_index(str(place))
    # The fewest nodes to visit that reach the recall, seen on the questions themselves.
    for ef in (10, 15, 20, 30, 40, 60, 80, 120, 200):
        made.set_ef(ef)
        if recall_of(made.knn_query(questions, NEAREST)[0], truth) >= recall:
            break
    say(f"hnswlib: ef {ef}")
    return lambda some: made.knn_query(some, NEAREST)[0]


def _autofaiss(everything: Any, blob: int, keep: Path) -> Any:
    """What autofaiss would build, by its published rules: it cannot be installed beside numpy 2."""
    faiss = segments.load_faiss()
    count, dimension = everything.shape
    kind = autofaiss_kind(count, dimension, blob)
    place = keep / f"{count}x{dimension} {kind}.faiss"
    if place.exists():
        made = faiss.read_index(str(place))
    else:
        made = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
        inner = faiss.try_extract_index_ivf(made)
        begun = time.perf_counter()
        if inner is not None:
            made.train(everything[:: max(1, count // (100 * inner.nlist))])
        made.add(everything)
        say(f"autofaiss' choice built in {time.perf_counter() - begun:.0f} s")
        faiss.write_index(made, str(place))
    graph = kind.startswith("HNSW")
    asked = everything[:: max(1, count // 100)]
    # It takes the slowest settings that answer within the time.
    chosen = "1"
    for power in range(4 if graph else 0, 12):
        settings = f"{'efSearch' if graph else 'nprobe'}={2**power}"
        faiss.ParameterSpace().set_index_parameters(made, settings)
        if _milliseconds(made, asked) > BAR_MS:
            break
        chosen = settings
    if chosen != "1":
        faiss.ParameterSpace().set_index_parameters(made, chosen)
    say(f"autofaiss' choice: {kind}, {chosen}")
    return lambda some: made.search(some, NEAREST)[1]


def _milliseconds(index: Any, asked: Any) -> float:
    took = []
    for question in asked:
        begun = time.perf_counter()
        index.search(question[None], NEAREST)
        took.append(1000 * (time.perf_counter() - begun))
    return middle(took)


def autofaiss_kind(count: int, dimension: int, most: int) -> str:
    """The factory string that autofaiss 2.18 names for so many keys and bytes of memory.

    Source: `get_optimal_index_keys_v2` in its `external/optimize.py`: a graph where there is room
    for one, else lists of whole keys below a million, else product codes, the longest that fit.
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
    rows, told = [], {}
    for way, place in where.items():
        runs = [_opened(way, place, dimension) for _ in range(5)]
        told[way] = (middle(r["ms"] for r in runs), 1024 * middle(r["kb"] for r in runs) / size)
        rows.append([way, f"{told[way][0]:.1f}", f"{told[way][1]:.1%}"])
    print()
    table(["open and first query", "ms (median of 5)", "memory allocated, share of the blob"], rows)
    conclude(30, told["mocosearch"][0], what="open and first query", unit=" ms", most=True)
    conclude(5, 100 * told["mocosearch"][1], what="memory allocated", unit="%", most=True)


def _opened(way: str, place: Path, dimension: int) -> dict[str, float]:
    """In a process of its own: milliseconds to open and ask, and KiB allocated."""
    words = [sys.executable, "-c", OPENING, way, str(place), str(dimension)]
    told = subprocess.run(words, check=True, capture_output=True).stdout
    return dict(json.loads(told))


def _cold(folder: Path, dimension: int) -> None:
    """Open and ask with nothing of the file in memory: the first question of a day."""
    took = []
    for _ in range(3):
        with open(folder / "data.mdb", "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        took.append(_opened("mocosearch", folder, dimension)["ms"])
    print(f"\nthe same from the disk, nothing of it in memory: {middle(took):.0f} ms", flush=True)


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
