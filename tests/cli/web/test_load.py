"""Fifty clients, while the index is updated and compacted: no wrong answer, flat memory."""

import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from light_index import light_index
from program import command, make_photos
from web_process import Process, serving

MINUTES = float(os.environ.get("MOCOSEARCH_LOAD_MINUTES", "10"))
CLIENTS = 50
STABLE = 40
"""Photos that stay; their ids are 1 to STABLE."""
GROWTH = 40_000_000
"""Bytes by which the memory may grow after the first third: caches and the allocator's arenas."""


@pytest.mark.slow
@pytest.mark.timeout(60 * MINUTES + 300)
def test_clients_are_answered_right_while_the_index_changes(tmp_path: Path) -> None:
    index = light_index(tmp_path / "index", tmp_path / "photos", STABLE)
    picture = next((tmp_path / "photos").iterdir()).read_bytes()
    stop, faults, counts = threading.Event(), list[str](), Counter[str]()
    with serving(index) as server:
        clients = [
            threading.Thread(target=_ask, args=(server, picture, number, stop, faults, counts))
            for number in range(CLIENTS)
        ]
        writer = threading.Thread(target=_change, args=(tmp_path, index, stop, faults, counts))
        for thread in (*clients, writer):
            thread.start()
        sizes = []
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end and not faults:
            time.sleep(1)
            sizes.append(_resident(server.process.pid))
        stop.set()
        for thread in (*clients, writer):
            thread.join(timeout=120)
            assert not thread.is_alive(), "a request does not finish"
        assert server.process.poll() is None
    assert not faults, faults[:5]
    assert counts["changes"] >= 2
    assert min(counts[kind] for kind in KINDS) > 0
    third = len(sizes) // 3
    assert max(sizes[-third:]) - max(sizes[third : 2 * third]) < GROWTH, sizes[:: third // 5 or 1]


KINDS = ("search", "page", "photo", "thumbnail", "picture")


def _ask(
    server: Process,
    picture: bytes,
    number: int,
    stop: threading.Event,
    faults: list[str],
    counts: Counter[str],
) -> None:
    chance = random.Random(number)
    while not stop.is_set():
        kind, id = chance.choice(KINDS), chance.randint(1, STABLE)
        try:
            fault = _request(server, kind, id, picture)
        except Exception as error:
            fault = f"{kind} {id}: {error!r}"
        if fault:
            faults.append(fault)
        counts[kind] += 1


def _request(server: Process, kind: str, id: int, picture: bytes) -> str:
    """One request; what is wrong with its answer, or nothing."""
    if kind == "thumbnail":
        status, body = server.request("GET", f"/v1/images/{id}/thumbnail?side=160")
        return (
            "" if status == 200 and body[:2] == b"\xff\xd8" else f"{kind} {id}: {status} {body!r}"
        )
    if kind == "photo":
        status, body = server.request("GET", f"/v1/images/{id}")
        right = status == 200 and json.loads(body)["id"] == id
    elif kind == "page":
        status, body = server.request("GET", "/v1/images?limit=1000")
        images = json.loads(body).get("images", [])
        ids = {image["id"] for image in images}
        right = status == 200 and ids >= set(range(1, STABLE + 1)) and len(ids) == len(images)
    elif kind == "search":
        status, body = server.request("POST", "/v1/search", {"ids": [id], "k": 5})
        results = json.loads(body).get("results", [])
        right = status == 200 and results[0]["id"] == id and results[0]["score"] > 0.999
    else:
        head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        kind_of_body = {"content-type": "multipart/form-data; boundary=x"}
        data = head + picture + b"\r\n--x--\r\n"
        status, body = server.request("POST", "/v1/search", data, kind_of_body)
        right = status == 200 and json.loads(body)["results"][0]["score"] > 0.999
    return "" if right else f"{kind} {id}: {status} {body[:300]!r}"


def _change(
    folder: Path, index: Path, stop: threading.Event, faults: list[str], counts: Counter[str]
) -> None:
    """Add photos, remove them, and compact the index, again and again."""
    more = folder / "photos" / "more"
    for number in range(10**6):
        if stop.is_set():
            return
        if number % 3 == 1:
            for path in list(more.iterdir())[::2]:
                path.unlink()
        else:
            make_photos(more, 8, seed=number)
        words = ("compact",) if number % 3 == 2 else ("index", folder / "photos")
        run = command(*words, "--index", index, home=folder, fork=False)
        if run.returncode != 0:
            faults.append(f"{words[0]}: {run.stderr}")
            return
        counts["changes"] += 1


def _resident(pid: int) -> int:
    """Memory of the server that is no file's, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(dict(line.split(":", 1) for line in lines)["RssAnon"].split()[0])
