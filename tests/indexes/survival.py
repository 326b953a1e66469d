"""Faults that can happen to an index, many times: kills, damage, readers beside a writer.

    python survival.py kills OPERATION COUNT SEED FOLDER
    python survival.py damages KIND COUNT SEED FOLDER
    python survival.py readers COUNT SECONDS FOLDER

Each runs in a forked process, so that a crash is seen and ends nothing else. This program has no
threads, and imports everything once. It prints one JSON document.
"""

import gzip
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from light import DIMENSION, draw, light, read_in_process, use_light_encoders

from indexes import Index
from indexes.search import merging, segments
from indexes.store import roots
from indexes.store.environment import Store
from indexes.store.records import PathEntry, Record, id_key, path_key
from indexes.sync import embed
from indexes.verify import look
from mocosearch.errors import MocosearchError

FORMAT_1 = Path(__file__).parents[1] / "data" / "format1.mdb.gz"
PHOTOS = 24
DELAY = 0.003
"""Seconds in which an operation takes several steps."""


def in_fork(work: Callable[[Callable[[Any], None]], None]) -> tuple[list[Any], int]:
    """Run `work` in a process of its own: what it sent, and the signal that ended it, or 0.

    Raises RuntimeError where it failed in another way.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            work(lambda value: os.write(theirs, json.dumps(value).encode() + b"\n") and None)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        values = [json.loads(line) for line in pipe if line.endswith("\n")]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status > 0:
        raise RuntimeError("it failed with the error above")
    return values, -status


# Kills


def _index(folder: Path) -> None:
    with Index.create(folder, light(1)) as index:
        index.sync([folder.parent / "photos"])


def _merge(folder: Path) -> None:
    """Merge into several segments; only in a process of its own."""
    merging.MOST_BYTES = 4 * DIMENSION * 4
    with Index.create(folder, None) as index:
        merging.merge(index.store, everything=True)


def _compact(folder: Path) -> None:
    with Index.create(folder, None) as index:
        index.compact()


def _migrate(folder: Path) -> None:
    Index.open(folder).close()


def _renew(folder: Path) -> None:
    with Index.create(folder, None) as index:
        if index.encoder.fingerprint != light(2).fingerprint:
            index.renew(light(2))


OPERATIONS = {
    "index": _index,
    "merge": _merge,
    "compact": _compact,
    "migrate": _migrate,
    "renew": _renew,
}


def prepare(operation: str, base: Path) -> Path | None:
    """The index that an operation starts with."""
    folder = base / "before"
    if operation == "index":
        return None
    if operation == "migrate":
        folder.mkdir()
        (folder / "data.mdb").write_bytes(gzip.decompress(FORMAT_1.read_bytes()))
    else:
        in_fork(lambda send: _index(folder))
    return folder


def state(folder: Path) -> dict[str, Any]:
    """The content of an index, its faults, and how many keys find themselves."""

    def work(send: Callable[[Any], None]) -> None:
        with Index.open(folder) as index:
            keys, hits = {}, 0
            for _, value in index.txn.items("paths"):
                entry = PathEntry.from_bytes(value)
                key = index.keys(np.array([entry.id], np.uint64))
                keys[entry.path] = hashlib.sha1(key.tobytes()).hexdigest()
                hits += index.query(key, 1)[0][0].id == entry.id
            content = {"keys": keys, "hits": hits, "encoder": index.encoder.fingerprint}
            faults = [finding.text for finding in look(index)]
            send({**content, "format": index.store.version, "faults": faults})

    (content,), signal_number = in_fork(work)
    if signal_number:
        raise RuntimeError(f"reading it ended with signal {signal_number}")
    return dict(content)


def run_until(
    run: Callable[[Path], None], folder: Path, calls: int = 0, later: float = 0.0
) -> tuple[list[Any], int]:
    """Run an operation that sends the number of photos after each commit, and the number of
    function calls at its end. Kill it after so many calls, which do not depend on the load of the
    machine, and then so many seconds `later`, in the middle of one.
    """
    write = Store.write

    def work(send: Callable[[Any], None]) -> None:
        count = 0

        def watch(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += 1
            if count == calls:
                # An alarm without a handler ends a process as SIGKILL does.
                signal.setitimer(signal.ITIMER_REAL, later)
                if not later:
                    os.kill(os.getpid(), signal.SIGKILL)

        def report(self: Store, change: Any) -> Any:
            result = write(self, change)
            with self.read() as txn:
                send([os.fspath(self.folder.name), txn.count("paths")])
            return result

        Store.write = report  # type: ignore[method-assign]
        sys.setprofile(watch)
        run(folder)
        sys.setprofile(None)
        send(["calls", count])

    return in_fork(work)


def kills(operation: str, count: int, seed: int, base: Path) -> dict[str, Any]:
    """Kill an operation at random moments; raises RuntimeError where an index did not survive."""
    run, rng = OPERATIONS[operation], np.random.default_rng(seed)
    before = prepare(operation, base)

    def start(folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        if before is not None:
            shutil.copytree(before, folder)
        return folder

    old = state(start(base / "index")) if operation not in ("index", "migrate") else None
    (*_, (_, calls)), _ = run_until(run, start(base / "index"))
    end = state(base / "index")
    # The test data of format 1 has no real graph.
    expected = 1 if operation == "migrate" else 0
    if len(end["faults"]) > expected or end["hits"] != len(end["keys"]):
        raise RuntimeError(f"an undisturbed run leaves {end}")
    killed = partial = 0
    for _ in range(count):
        folder = start(base / "index")
        later = float(rng.choice([0, rng.uniform(0, DELAY)]))
        values, ended = run_until(run, folder, int(rng.integers(1, calls)), later)
        killed += ended in (signal.SIGKILL, signal.SIGALRM)
        committed = max((n for name, n in values if name == "index"), default=0)
        if (folder / "data.mdb").exists():
            after = state(folder)
            fits = after in (old, end) if old else after["keys"].items() <= end["keys"].items()
            if after["faults"] != end["faults"] or not fits or len(after["keys"]) < committed:
                raise RuntimeError(f"killed after {values[-1:]}, it holds {after}")
            partial += 0 < len(after["keys"]) < len(end["keys"])
        elif committed:
            raise RuntimeError("what was committed is gone")
        run_until(run, folder)
        if state(folder) != end:
            raise RuntimeError("another run does not end where an undisturbed one ends")
        if others := {path.name for path in folder.iterdir()} - FILES:
            raise RuntimeError(f"it leaves {others}")
    return {"killed": killed, "with a part committed": partial}


FILES = {"data.mdb", "lock.mdb", "writer.lock"}


# Damages


def whole_index(folder: Path, kind: str) -> Path:
    """An index with a search index of some kind and an exact one, and several pages in each larger
    database.
    """
    rng = np.random.default_rng(0)
    with Index.create(folder, light(1)) as index:
        index.sync([folder.parent / "photos"])
        keys = rng.standard_normal((400, DIMENSION))
        keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float16)
        index.refresh()
        index.store.write(lambda txn: _put(txn, 1000, keys))
        index.configure(kind)
        merging.merge(index.store, everything=True)
        index.store.write(lambda txn: _put(txn, 2000, keys[::-1]))
    return folder


def _put(txn: Any, first: int, keys: np.ndarray) -> None:
    for id, key in enumerate(keys, first):
        path, digest = f"1/{id}.jpg", id.to_bytes(16, "big")
        txn.put("images", id_key(id), Record(1, 1, "PNG", None, 1, digest.hex(), [path]).to_bytes())
        txn.put("vectors", id_key(id), key.tobytes())
        txn.put("digests", digest, id_key(id))
        txn.put("paths", path_key(path), PathEntry(id, 1, 1, path).to_bytes())
    txn.put("meta", b"next_id", (first + len(keys)).to_bytes(8, "big"))
    segments.append(txn, range(first, first + len(keys)), keys)


def damage(whole: Path, folder: Path, seed: int) -> None:
    """A copy with bits flipped, a page overwritten by another or by zeros, or its end cut off."""
    rng = np.random.default_rng(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data = bytearray((whole / "data.mdb").read_bytes())
    way = rng.choice(["flip", "flip", "flip", "zero", "swap", "cut"])
    if way == "flip":
        for at in rng.integers(0, len(data), int(rng.choice([1, 3, 40]))):
            data[at] ^= 1 << int(rng.integers(8))
    elif way == "cut":
        del data[int(rng.integers(len(data))) :]
    else:
        to, of = (4096 * int(page) for page in rng.integers(0, len(data) // 4096, 2))
        data[to : to + 4096] = bytes(4096) if way == "zero" else data[of : of + 4096]
    (folder / "data.mdb").write_bytes(data)


def query(folder: Path) -> tuple[Any, int]:
    """The results of some queries, or the error; and the signal of a crash."""

    def work(send: Callable[[Any], None]) -> None:
        keys = np.random.default_rng(1).standard_normal((6, DIMENSION)).astype(np.float32)
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        try:
            with Index.open(folder) as index:
                rows = index.query(keys, 5)
                send([[[m.id, round(m.score, 3), m.record.paths] for m in row] for row in rows])
        except MocosearchError as error:
            send(error.what)
        except Exception as error:
            traceback.print_exc()
            send({"defect": repr(error)})

    values, ended = in_fork(work)
    return (values[0] if values else None), ended


def verify(folder: Path) -> tuple[list[str], int]:
    """What `verify` reports, and the signal of a crash, which it reports too."""

    def work(send: Callable[[Any], None]) -> None:
        try:
            with Index.open(folder) as index:
                for finding in look(index):
                    send(finding.text)
        except MocosearchError as error:
            send(error.what)

    return in_fork(work)


def damages(kind: str, count: int, seed: int, base: Path) -> dict[str, Any]:
    """How much damage was reported by the open or a query, by `verify`, or had no effect."""
    whole = whole_index(base / "whole", kind)
    right, _ = query(whole)
    if verify(whole) != ([], 0):
        raise RuntimeError(f"before any damage: {verify(whole)}")
    outcomes: Counter[str] = Counter()
    worst: list[str] = []
    for number in range(seed, seed + count):
        damage(whole, base / "damaged", number)
        results, crash = query(base / "damaged")
        faults, verify_crash = verify(base / "damaged")
        if crash:
            outcome = "crashed"
        elif isinstance(results, dict):
            outcome = "a defect"
        elif isinstance(results, str):
            outcome = "reported by the open or the query"
        elif faults or verify_crash:
            outcome = "reported by verify" + (", results differ" if results != right else "")
        else:
            outcome = "no effect" if results == right else "wrong and not reported"
        outcomes[outcome] += 1
        if outcome in ("crashed", "a defect", "wrong and not reported"):
            worst.append(f"{number}: signal {crash}, {results}, verify: {faults or verify_crash}")
    return {"outcomes": outcomes, "worst": worst}


# Readers

FEWEST = 12
"""Commits, where the machine is busy."""
KILLED = 3
"""Readers that are killed while they hold a snapshot."""


def readers(count: int, seconds: float, base: Path) -> dict[str, Any]:
    """So many readers beside one writer; each result must be of one snapshot."""
    folder, most = base / "index", 40
    with Index.create(folder, light(1)) as index:
        index.store.write(lambda txn: roots.add(txn, [os.fspath(base / "photos")]))
        index.store.write(lambda txn: _fill(txn, 1, most))
    until = time.monotonic() + seconds

    def read(send: Callable[[Any], None]) -> None:
        queries = 0
        with Index.open(folder) as index:
            while not (base / "done").exists():
                index.refresh()
                ids = sorted(int.from_bytes(key, "big") for key, _ in index.txn.items("images"))
                (matches,) = index.query(np.eye(1, DIMENSION, dtype=np.float32), 2 * most)
                if sorted(match.id for match in matches) != ids or len(ids) != most:
                    raise RuntimeError(f"{len(matches)} results, {len(ids)} photos")
                queries += 1
        send(queries)

    def die(send: Callable[[Any], None]) -> None:
        index = Index.open(folder)
        index.prepare()
        time.sleep(seconds / 4)
        os.kill(os.getpid(), signal.SIGKILL)

    # All start before the writer opens: no process may inherit an open environment.
    killed = [_start(die) for _ in range(KILLED)]
    pipes = [_start(read) for _ in range(count)]
    sizes, commits, first = [], 0, 1
    with Index.create(folder, None) as index:
        while time.monotonic() < until or commits < FEWEST:
            index.store.write(lambda txn, at=first: _roll(txn, at, most))  # type: ignore[misc]
            merging.merge(index.store)
            commits, first = commits + 1, first + 2
            sizes.append((folder / "data.mdb").stat().st_size)
        (base / "done").touch()
        alive = {int(line.split()[0]) for line in index.store.env.readers().splitlines()[1:]}
        dead = [pid for pid in alive if not os.path.exists(f"/proc/{pid}")]
    queries = [_wait(*pipe) for pipe in pipes]
    for child, pipe in killed:
        os.close(pipe)
        os.waitpid(child, 0)
    quarter = max(1, len(sizes) // 4)
    return {
        "commits": commits,
        "queries": sum(queries),
        "fewest": min(queries),
        "dead": len(dead),
        "grown": max(sizes) / max(sizes[:quarter]),
    }


def _fill(txn: Any, first: int, count: int) -> None:
    keys = np.random.default_rng(first).standard_normal((count, DIMENSION)).astype(np.float16)
    _put(txn, first, keys)


def _roll(txn: Any, first: int, most: int) -> None:
    """Add two photos and remove the two oldest."""
    _fill(txn, first + most, 2)
    for id in (first, first + 1):
        for name in ("images", "vectors"):
            txn.delete(name, id_key(id))
        txn.delete("digests", id.to_bytes(16, "big"))
        txn.delete("paths", path_key(f"1/{id}.jpg"))
        txn.put("deleted", id_key(id), b"")


def _start(work: Any) -> tuple[int, int]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(lambda value: os.write(theirs, json.dumps(value).encode()) and None)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(theirs)
    return child, ours


def _wait(child: int, ours: int) -> int:
    with os.fdopen(ours) as pipe:
        queries = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a reader failed with the error above")
    return int(queries)


def warm(base: Path) -> None:
    """Import everything that is imported late, so that the forks need not."""
    draw(base / "photos", PHOTOS)
    _index(base / "warm")
    with Index.open(base / "warm") as index:
        index.query(np.eye(1, DIMENSION, dtype=np.float32))
        list(look(index))


def main() -> None:
    use_light_encoders(pytest.MonkeyPatch())
    embed.read_photos = read_in_process
    embed.COMMIT_BATCH = 2
    what, *words = sys.argv[1:]
    base = Path(words.pop())
    warm(base)
    if what == "kills":
        result = kills(words[0], int(words[1]), int(words[2]), base)
    elif what == "damages":
        result = damages(words[0], int(words[1]), int(words[2]), base)
    else:
        result = readers(int(words[0]), float(words[1]), base)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
