"""Can ten million keys be built and searched on one machine, without holding all of them?

    python -m benchmarks.ten_million_keys [--count 10000000] [--dimension 128] [--recall 0.9]

Keys are synthetic (benchmarks/keys.py). Baseline in the same run: a comparison with every stored
key, streamed from LMDB. Needs about 15 GB in the temporary folder (TMPDIR). Memory is what the
process allocated; pages of the mapped file, which the system can drop, are listed separately.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.keys import clustered, create_index, merge_all, nearest, searcher, time_queries
from benchmarks.measure import conclude, say, table, title

QUERIES = 300
GIB = 1 << 30


def main() -> None:
    """Print the tables and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--recall", type=float, default=0.9)
    options = parser.parse_args()
    title(__doc__)
    queries = np.concatenate(list(clustered(QUERIES, options.dimension, seed=7)))
    queries = queries.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        say(f"{options.count} keys of {options.dimension} numbers")
        begun = time.perf_counter()
        index = create_index(Path(folder) / "index", options.count, options.dimension)
        index.configure(recall=options.recall)
        say(f"written in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        with peaks() as peak:
            merge_all(index)
        took = time.perf_counter() - begun
        info = index.info()
        print(f"built in {took:.0f} s: {json.dumps(info['segment_list'])}", flush=True)
        print(f"the file has {info['bytes'] / GIB:.2f} GiB\n", flush=True)
        begun = time.perf_counter()
        truth = nearest(index, queries)
        exact = 1000 * (time.perf_counter() - begun) / len(queries)
        one, many, recall = time_queries(searcher(index), queries, truth)
        index.close()
    whole = 4 * options.count * options.dimension
    rows = [
        ["mocosearch", f"{one:.2f}", f"{many:.0f}", f"{recall:.3f}"],
        ["every key, streamed, in a batch", f"{exact:.1f}", f"{1000 / exact:.0f}", "1.000"],
    ]
    table(["way", "one query, ms", "batch, queries/s", "recall@10"], rows)
    print(
        f"\nmemory of the build: {peak['RssAnon'] / GIB:.2f} GiB allocated, "
        f"{peak['RssAnon'] / whole:.0%} of all keys as float32; "
        f"{peak['RssFile'] / GIB:.2f} GiB of files mapped"
    )
    conclude(0.9, recall, what="recall@10 against exact", unit="")
    conclude(5, one, what="one query", unit=" ms", most=True)
    conclude(24, (peak["RssAnon"] + peak["RssFile"]) / GIB, what="memory", unit=" GiB", most=True)


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """Peaks of the bytes that this process allocated and mapped meanwhile, sampled 10 times a
    second.

    The peak of the resident size would mix them: it counts pages of files, too.
    """
    peak = {"RssAnon": 0, "RssFile": 0}
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.1):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in peak:
                    peak[name] = max(peak[name], 1024 * int(value.split()[0]))

    watch = threading.Thread(target=sample)
    watch.start()
    try:
        yield peak
    finally:
        ended.set()
        watch.join()


if __name__ == "__main__":
    main()
