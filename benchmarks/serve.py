"""How fast is `mocosearch serve`, against a plain loop over the same keys?

    python -m benchmarks.serve [--counts 100000 1000000] [--clients 8] [--keep FOLDER]

Keys and records are synthetic (benchmarks/keys.py, benchmarks/filtered_query.py), of the dimension
of the starter, whose graph the index holds. The server runs as a process of its own, and so do the
clients. The photos have no files; the thumbnails of the results are stored before they are timed.
Where there is Chromium, the page is timed in it, too (benchmarks/serve_page.py).
Baseline in the same run: numpy's cosines of a key with all keys, in 32 bits, and the best 100.
"""

import argparse
import http.client
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.filtered_query import ROOT, record
from benchmarks.keys import clustered, merge_all, put, stored_keys
from benchmarks.measure import COMMAND, conclude, middle, say, table, title
from benchmarks.serve_page import measure_page
from indexes import Index
from indexes.store import roots
from indexes.thumbnails import Thumbnails
from mocosearch.encoder import Encoder

CLICKS = 60
SECONDS = 10.0
"""For the searches of many clients."""
PICTURES = 24
"""On the first screen of results."""
CONNECTIONS = 6
"""Of a browser to one server."""
RESULTS = 100
PERIOD = 0.25
"""Seconds between two looks at the memory."""


def main() -> None:
    """Print the figures and the conclusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--keep", type=Path, help="a folder for the indexes, which are used again")
    options = parser.parse_args()
    title(__doc__)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        for count in options.counts:
            place = (options.keep or Path(folder)) / f"index-{count}"
            if not (place / "data.mdb").exists():
                say(f"creating an index of {count} keys")
                create(place, count)
            figures = measure(place, count, options.clients)
            report(count, figures, options.clients)


def create(folder: Path, count: int) -> None:
    """An index of so many photos, with the encoder that comes with mocosearch."""
    encoder = Encoder.open("starter")
    with Index.create(folder, encoder) as index:
        index.store.write(lambda txn: roots.add(txn, [ROOT]))
        first = 1
        for keys in clustered(count, encoder.dimension):
            index.store.write(lambda txn, first=first, keys=keys: put(txn, first, keys, record))
            first += len(keys)
        merge_all(index)


def measure(folder: Path, count: int, clients: int) -> dict[str, float]:
    """All figures of one index: milliseconds, searches/s, and bytes."""
    figures: dict[str, float] = {"loop": plain_loop(folder)}
    ids = np.random.default_rng(3).integers(1, count + 1, CLICKS).tolist()
    began = time.perf_counter()
    with serving(folder) as server:
        figures["start"] = 1000 * (time.perf_counter() - began)
        # The first of each kind, while nothing is in memory yet.
        figures["first"] = timed(lambda: server.search(ids[0]))
        figures["first page"] = timed(lambda: server.get("/v1/images?limit=100"))
        figures["timeline"] = timed(lambda: server.get("/v1/timeline"))
        figures["page again"] = timed(lambda: server.get("/v1/images?offset=50000&limit=100"))
        figures["first picture"] = timed(lambda: server.upload(picture()))
        figures["picture"] = middle(timed(lambda: server.upload(picture())) for _ in range(9))
        figures["click"] = middle(timed(lambda id=id: server.search(id)) for id in ids)
        figures["server's share"] = middle(
            1000 * server.search(id)["seconds"]["total"] for id in ids
        )
        store_thumbnails(folder, server, ids[:20])
        figures["pictures"] = middle(timed(lambda id=id: server.show(id)) for id in ids[:20])
        newest = newest_ids(server)
        store_thumbnails(folder, server, newest)
        figures |= measure_page(server.address, newest)
        with memory_watch(server.process.pid) as sizes:
            figures["searches/s"] = throughput(server, ids, clients)
        figures["warm bytes"], figures["private bytes"] = map(max, zip(*sizes, strict=True))
    uncache(folder)
    with serving(folder) as server, memory_watch(server.process.pid) as sizes:
        throughput(server, ids, clients)
        figures["bytes"] = max(resident for resident, _ in sizes)
    return figures


def report(count: int, figures: dict[str, float], clients: int) -> None:
    """Print the table and the conclusions of one size."""
    rows = {
        "a click: the 100 nearest photos to one, ms": "click",
        "the same in numpy, all keys in memory, ms": "loop",
        "the same until 24 thumbnails are there, ms": "pictures",
        "first paint of the page in a browser, ms": "first paint",
        "there, from a key until the first result has its picture, ms": "first pictures",
        "the first click after the start, ms": "first",
        "the first picture that is sent, ms": "first picture",
        "a further picture, ms": "picture",
        "the first page of photos, ms": "first page",
        "months, ms": "timeline",
        "a page in the middle, ms": "page again",
        f"searches/s of {clients} clients": "searches/s",
        "from the command to the address, ms": "start",
        "most memory with its processes meanwhile, MB": "warm bytes",
        "of it without pages of files, MB": "private bytes",
        "most memory where the index is read from the disk, MB": "bytes",
    }
    figures = {k: v / 1e6 if k.endswith("bytes") else v for k, v in figures.items()}
    print(f"\n{count} photos\n")
    rows = {what: name for what, name in rows.items() if name in figures}
    table(["what", "figure"], [[what, f"{figures[name]:.1f}"] for what, name in rows.items()])
    if count == 100_000:
        bars = (
            ("server's share", 60, "a click in the server"),
            ("pictures", 150, "first pictures"),
        )
        bars = (*bars, ("first", 100, "the first query after the start"))
        page = (("first paint", 300, "first paint"), ("first pictures", 150, "a key to a picture"))
        for name, bar, what in (*bars, *(one for one in page if one[0] in figures)):
            conclude(bar, figures[name], what=what, unit=" ms", most=True)
        conclude(40, figures["searches/s"], what=f"searches with {clients} clients", unit="/s")
    if count == 1_000_000:
        conclude(600, figures["bytes"], what="memory of the server", unit=" MB", most=True)


class Client:
    """One connection to a server."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        self.process, self.port, self.token = process, port, token
        self.address = f"http://127.0.0.1:{port}/?token={token}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def another(self) -> "Client":
        """A further connection."""
        return Client(self.process, self.port, self.token)

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """The body of an answer, which must be a good one."""
        headers = {"authorization": f"Bearer {self.token}"}
        if kind:
            headers["content-type"] = kind
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            sys.exit(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def get(self, path: str) -> bytes:
        """A GET request."""
        return self.request("GET", path)

    def search(self, id: int) -> Any:
        """The photos nearest to one."""
        body = json.dumps({"ids": [id], "k": RESULTS}).encode()
        return json.loads(self.request("POST", "/v1/search", body, "application/json"))

    def upload(self, data: bytes) -> Any:
        """The photos nearest to a picture."""
        head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        kind = "multipart/form-data; boundary=x"
        return json.loads(self.request("POST", "/v1/search", head + data + b"\r\n--x--\r\n", kind))

    def show(self, id: int) -> None:
        """A search, and the thumbnails of its first results as a browser gets them."""
        results = self.search(id)["results"][:PICTURES]

        def fetch(some: list[Any]) -> None:
            client = self.another()
            for one in some:
                client.get(f"/v1/images/{one['id']}/thumbnail?side=320&v={one['v']}")
            client.connection.close()

        threads = [
            threading.Thread(target=fetch, args=(results[at::CONNECTIONS],))
            for at in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@contextmanager
def serving(folder: Path) -> Iterator[Client]:
    """A server of an index, and a client of it."""
    line = [os.fspath(COMMAND), "serve", "--index", os.fspath(folder), "--port", "0"]
    process = subprocess.Popen([*line, "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.fullmatch(r"http://127.0.0.1:(\d+)/\?token=(.*)\n", process.stdout.readline())
        assert address is not None
        yield Client(process, int(address[1]), address[2])
    finally:
        process.terminate()
        process.wait()


def plain_loop(folder: Path) -> float:
    """Milliseconds of one search in numpy, all keys in memory."""
    with Index.open(folder) as index:
        keys = np.concatenate([piece.astype(np.float32) for piece in stored_keys(index)])

    def search(row: int) -> Any:
        cosines = keys @ keys[row]
        best = np.argpartition(-cosines, RESULTS)[:RESULTS]
        return best[np.argsort(-cosines[best])]

    return middle(timed(lambda row=row: search(row)) for row in range(0, 900, 30))


def newest_ids(server: Client) -> list[int]:
    """The photos on the first screen of the page."""
    return [one["id"] for one in json.loads(server.get("/v1/images?limit=24"))["images"]]


def store_thumbnails(folder: Path, server: Client, ids: list[int]) -> None:
    """Thumbnails of the results of some searches, as if their photos had been shown before."""
    store, data = Thumbnails.open(folder), picture(320)
    for id in ids:
        for one in (id, *(one["id"] for one in server.search(id)["results"][:PICTURES])):
            for side in (160, 320, 640):
                store.put(f"{one:032x}", side, data)
    store.close()


def throughput(server: Client, ids: list[int], clients: int) -> float:
    """Searches per second of several clients."""
    end, counts = time.perf_counter() + SECONDS, []

    def run(number: int) -> None:
        client, count = server.another(), 0
        while time.perf_counter() < end:
            client.search(ids[(number + count) % len(ids)])
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def picture(longest: int = 1600) -> bytes:
    """A JPEG file with structure at all sizes."""
    rng, out = np.random.default_rng(5), io.BytesIO()
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    image = coarse.resize((longest, longest * 3 // 4), Image.Resampling.BICUBIC)
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def timed(work: Any) -> float:
    """Milliseconds of a call."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def uncache(folder: Path) -> None:
    """Remove the file of an index from the system's cache.

    What a program has written lies there in pieces of up to 2 MB (large folios), and Linux maps a
    whole piece where one byte of it is read. So one search maps nearly all of a file that was
    written just now. What is read from the disk lies there in single pages.
    """
    with open(folder / "data.mdb", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def memory_watch(pid: int) -> Iterator[list[tuple[float, float]]]:
    """What `memory` says of a process, again and again."""
    sizes, end = [memory(pid)], threading.Event()

    def look() -> None:
        while not end.wait(PERIOD):
            sizes.append(memory(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield sizes
    finally:
        end.set()
        thread.join()


def memory(pid: int) -> tuple[float, float]:
    """Resident bytes of a process and its children, and those of them that are no file's."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    resident = private = 0.0
    for one in (str(pid), *children):
        fields = dict(
            line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines()
        )
        resident += 1024 * int(fields["VmRSS"].split()[0])
        private += 1024 * int(fields["RssAnon"].split()[0])
    return resident, private


if __name__ == "__main__":
    main()
