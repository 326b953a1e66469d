"""Can ten million keys be built and searched on one machine, without holding all of them?

    python -m benchmarks.ten_million_keys [--count 10000000] [--dimension 128] [--recall 0.9]

Keys are clustered and synthetic (benchmarks/keys.py). Baseline in the same run: every stored key
compared with the question, streamed from LMDB. Needs about 15 GB in the temporary folder
(TMPDIR names another). Memory is what the process allocated; the mapped file is the system's to
take back, and is told beside it.
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

from benchmarks.keys import built, clustered, filled, nearest, searcher, timed
from benchmarks.measure import conclude, say, table, title

QUESTIONS = 300
GIB = 1 << 30


def main() -> None:
    """Print the tables and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--recall", type=float, default=0.9)
    asked = parser.parse_args()
    title(__doc__)
    questions = np.concatenate(list(clustered(QUESTIONS, asked.dimension, seed=7)))
    questions = questions.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        say(f"{asked.count} keys of {asked.dimension} numbers")
        begun = time.perf_counter()
        index = filled(Path(folder) / "index", asked.count, asked.dimension)
        index.configure(recall=asked.recall)
        say(f"written in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        with peaks() as peak:
            built(index)
        took = time.perf_counter() - begun
        told = index.info()
        print(f"built in {took:.0f} s: {json.dumps(told['segment_list'])}", flush=True)
        print(f"the file has {told['bytes'] / GIB:.2f} GiB\n", flush=True)
        begun = time.perf_counter()
        truth = nearest(index, questions)
        exact = 1000 * (time.perf_counter() - begun) / len(questions)
        one, many, recall = timed(searcher(index), questions, truth)
        index.close()
    whole = 4 * asked.count * asked.dimension
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
    """Bytes that this process allocated and mapped at most meanwhile, looked at 10 times a second.

    Counted in the peak of the resident size, pages of a file that the system may drop at any time
    would hide what was allocated.
    """
    most = {"RssAnon": 0, "RssFile": 0}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in most:
                    most[name] = max(most[name], 1024 * int(value.split()[0]))

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield most
    finally:
        ended.set()
        watch.join()


if __name__ == "__main__":
    main()
