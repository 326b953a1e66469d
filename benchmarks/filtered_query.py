"""How much time does a filter add to a query? Each kind, for the first time in a process.

    python -m benchmarks.filtered_query [--counts 100000 1000000] [--dimension 128] [--runs 3]

Keys and records are synthetic (benchmarks/keys.py and `record` below). A new process opens the
index, queries it without a filter, then with one filter, then with the same filter again.
Baselines in the same process: the query without a filter, and parsing every record for
`Where.admits`, as before the index had columns. Writing is timed too, with the share of columns.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.keys import clustered, create_index, merge_all, put
from benchmarks.measure import conclude, middle, say, table, title
from indexes import Index, Where
from indexes.store import columns, roots
from indexes.store.records import Record, id_key

ROOT = "/photos"
BARS_MS = {100_000: 20, 1_000_000: 100}
REPEATS = 30
CAMERAS = [f"Maker{number % 7} Model {number}" for number in range(40)]
FORMATS = (("JPEG", ".jpg"), ("JPEG", ".JPG"), ("MPO", ".jpg"), ("HEIF", ".heic"), ("PNG", ".png"))
FILTERS = {
    "--in, half of the folders": Where(under=(f"{ROOT}/a",)),
    "--in, one year of one person": Where(under=(f"{ROOT}/a/2003",)),
    "--in, one event": Where(under=(f"{ROOT}/a/2001/event-00002",)),
    "--not-in": Where(not_under=(f"{ROOT}/b/2003", f"{ROOT}/b/2004")),
    "--taken, one year": Where(taken=("2010", "2010")),
    "--taken, open": Where(taken=("2012-06", "")),
    "--near, 300 km": Where(near=(48.1, 11.6, 300.0)),
    "--near, 3 km": Where(near=(48.1, 11.6, 3.0)),
    "--camera": Where(camera="maker3"),
    "--format": Where(format="heic"),
    "--min-side": Where(min_side=2000),
    "all of them": Where(
        under=(f"{ROOT}/a",),
        taken=("2005", "2015"),
        near=(48.1, 11.6, 500.0),
        camera="maker3",
        format="jpg",
        min_side=1000,
    ),
}


def main() -> None:
    """Print the tables and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=list(BARS_MS))
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--photos", help="ignored: photos are synthetic")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        folder, number = options.one
        where = list(FILTERS.values())[int(number)]
        sys.stdout.write(json.dumps(measure(Path(folder), where)))
        return
    title(__doc__)
    for count in options.counts:
        with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
            compare(Path(folder) / "index", count, options.dimension, options.runs)


def compare(folder: Path, count: int, dimension: int, runs: int) -> None:
    """The table and the conclusion for one size."""
    say(f"{count} photos")
    index = create_index(folder, count, dimension, record)
    index.store.write(lambda txn: roots.add(txn, [ROOT]))
    merge_all(index)
    figures = {name: _median(folder, name, runs) for name in FILTERS}
    rows = [
        [
            name,
            f"{100 * one['admitted'] / count:.2f}%",
            *(f"{one[part]:.2f}" for part in ("plain", "first", "again", "records")),
            f"{one['first'] - one['plain']:.1f}",
        ]
        for name, one in figures.items()
    ]
    heads = [
        "filter",
        "photos",
        "no filter, ms",
        "first time, ms",
        "again, ms",
        "parsing records, ms",
    ]
    print(f"\n{count} photos, medians of {runs}\n")
    table([*heads, "added, ms"], rows)
    indexing(index, count, dimension)
    index.close()
    most = max(one["first"] - one["plain"] for one in figures.values())
    times = min(one["records"] / one["first"] for one in figures.values())
    print(f"\nparsing every record takes at least {times:.0f} times as long")
    if count in BARS_MS:
        what = f"{count} photos: the most time that a filter adds"
        conclude(BARS_MS[count], most, what=what, unit=" ms", most=True)


def record(id: int) -> Record:
    """A photo's facts: folders of 100 in 16 years of two people, half of the photos with a place,
    a tenth without a time.
    """
    chance = random.Random(id)
    draw = [chance.random() for _ in range(4)]
    format, extension = FORMATS[int(draw[0] * len(FORMATS))]
    event, side = id // 100, 500 + int(3000 * draw[1])
    year = 2000 + event // 2 % 16
    taken = datetime(year, 1, 1) + timedelta(seconds=int(3.1e7 * draw[2]))
    person = "ab"[event % 2]
    place = (43 + 10 * draw[3], 6 + 11 * draw[1]) if id % 4 < 2 else (None, None)
    return Record(
        side * 4 // 3,
        side,
        format,
        taken.isoformat() if id % 10 else None,
        3_000_000,
        f"{id:032x}",
        [f"1/{person}/{year}/event-{event:05}/IMG_{id:07}{extension}"],
        CAMERAS[id % len(CAMERAS)] if id % 9 else None,
        *place,
        perceptual=f"{id:016x}",
        pixels=f"{id:032x}",
    )


def _median(folder: Path, name: str, runs: int) -> dict[str, float]:
    say(f"  {name}")
    number = str(list(FILTERS).index(name))
    command = [sys.executable, "-m", "benchmarks.filtered_query", "--one", str(folder), number]
    ran = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(runs)]
    figures = [json.loads(line) for line in ran]
    return {part: middle(one[part] for one in figures) for part in figures[0]}


def measure(folder: Path, where: Where) -> dict[str, float]:
    """Milliseconds of a query without the filter, with it for the first time and again, and by
    records; and how many photos the filter admits. In a process that has not filtered yet.
    """
    with Index.open(folder) as index:
        (keys,) = clustered(REPEATS, index.encoder.dimension, seed=7)
        queries = keys.astype(np.float32)[:, None]
        plain = [milliseconds(index.query, query)[0] for query in queries][1:]
        first, matches = milliseconds(lambda: index.query(queries[0], 10, where))
        again = [milliseconds(index.query, query, 10, where)[0] for query in queries]
        records, ids = milliseconds(by_records, index, where)
        admitted = index.among(where)
        if not np.array_equal(ids, admitted) or not {m.id for m in matches[0]} <= set(ids.tolist()):
            sys.exit(f"{where}: the columns and the records differ")
    return {
        "plain": middle(plain),
        "first": first,
        "again": middle(again),
        "records": records,
        "admitted": len(admitted),
    }


def milliseconds(call: Callable[..., Any], *values: Any) -> tuple[float, Any]:
    """How long a call takes, and its result."""
    begun = time.perf_counter()
    result = call(*values)
    return 1000 * (time.perf_counter() - begun), result


def by_records(index: Index, where: Where) -> Any:
    """The ids that a filter admits, by parsing each record."""
    ids = []
    for key, value in index.txn.items("images"):
        facts = json.loads(bytes(value))
        facts["paths"] = [index.roots.path(path) for path in facts["paths"]]
        if where.admits(facts):
            ids.append(int.from_bytes(key, "big"))
    return np.array(ids, np.uint64)


def indexing(index: Index, count: int, dimension: int) -> None:
    """Time 1,000 more photos, and the deletion of as many from everywhere."""
    index.refresh()
    share: list[float] = []
    update = columns.update

    def measured(txn: Any) -> None:
        share.append(milliseconds(update, txn)[0])

    (keys,) = clustered(1000, dimension, seed=11)
    some = np.linspace(1, count, 1000).astype(int).tolist()
    columns.update = measured
    try:
        added, _ = milliseconds(index.store.write, lambda txn: put(txn, count + 1, keys, record))
        removed, _ = milliseconds(
            index.store.write, lambda txn: [txn.delete("images", id_key(id)) for id in some]
        )
    finally:
        columns.update = update
    print(
        f"\n1,000 photos more are written in {added:.0f} ms, {share[0]:.0f} ms of it for columns;"
        f" 1,000 records from everywhere are deleted in {removed:.0f} ms, {share[1]:.0f} ms of it"
    )


if __name__ == "__main__":
    main()
