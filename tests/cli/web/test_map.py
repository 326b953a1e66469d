"""The map over HTTP: computed in the background, drawn in tiles, and extended."""

import io
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import make_photos
from web_server import Server

from cli.web.background import maps
from indexes import Where
from indexes.maps import storage

SECONDS = 120


def _store(server: Server, seed: int = 0) -> str:
    """A map of the index at random places, as if it had been computed; its version."""
    ids, fingerprint = server.service.collection.run(
        lambda index: (index.among(Where()), index.encoder.card.fingerprint)
    )
    points = np.random.default_rng(seed).random((len(ids), 2))
    reference = np.ones(len(ids), np.bool_)
    collection_map = storage.CollectionMap(
        fingerprint, ids, points, reference, storage.frame_of(points)
    )
    storage.save(server.folder, collection_map)
    return collection_map.version


def _tile(server: Server, address: str, **options: Any) -> Any:
    answer = server.client.get(f"/v1/map/{address}", **options)
    assert answer.status_code == 200, answer.text
    return answer


def _wait(server: Server) -> dict[str, Any]:
    """The state of the map once it is up to date."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        state: dict[str, Any] = server.get("/v1/map")
        if state["state"] == "done" and not state["updating"]:
            return state
        # The server answers meanwhile.
        assert len(server.get("/v1/images")["images"]) == state.get("photos") or 40
        time.sleep(0.1)
    raise AssertionError(state)


def test_it_is_computed_in_the_background(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, steps = threading.Event(), []

    def compute(self: maps.Maps) -> None:
        self.progress = 0.5
        assert going.wait(SECONDS)
        steps.append(_store(own_server, len(steps)))

    monkeypatch.setattr(maps, "has_maps", lambda: True)
    monkeypatch.setattr("cli.web.api.map.has_maps", lambda: True)
    monkeypatch.setattr(maps.Maps, "_run", compute)
    for _ in range(20):
        first = own_server.get("/v1/map")
    assert (first["state"], first["updating"], first["progress"]) == ("computing", True, 0.5)
    going.set()
    done = _wait(own_server)
    assert (done["v"], done["photos"]) == (steps[0], 40)
    make_photos(own_server.photos / "more", 2, seed=9)
    own_server.index()
    # The map of before is shown until the next one is there.
    assert own_server.get("/v1/map")["state"] == "done"
    more = _wait(own_server)
    assert (more["v"], more["photos"], len(steps)) == (steps[1], 42, 2)


@pytest.mark.slow
def test_the_process_learns_a_map_and_extends_it(own_server: Server) -> None:
    pytest.importorskip("openTSNE", reason="openTSNE is not installed")
    assert own_server.get("/v1/info")["map"]
    first = own_server.get("/v1/map")
    assert (first["state"], first["updating"], first["tiles"]) == ("computing", True, 0)
    done = _wait(own_server)
    assert (done["photos"], done["progress"]) == (40, 1)
    make_photos(own_server.photos / "more", 2, seed=9)
    own_server.index()
    assert own_server.get("/v1/map")["photos"] == 40
    more = _wait(own_server)
    assert (more["photos"], more["v"] == done["v"]) == (42, False)


def test_a_stored_map_is_there_at_once(own_server: Server) -> None:
    version = _store(own_server)
    state = own_server.get("/v1/map")
    assert (state["state"], state["updating"], state["v"]) == ("done", False, version)
    assert state["tiles"] >= 2


def test_a_tile_shows_pictures_and_is_transparent_elsewhere(own_server: Server) -> None:
    version = _store(own_server)
    levels = own_server.get("/v1/map")["tiles"]
    for side in (256, 512):
        answer = _tile(own_server, f"0/0/0?side={side}&v={version}")
        assert answer.headers["content-type"] == "image/webp"
        assert "immutable" in answer.headers["cache-control"]
        with Image.open(io.BytesIO(answer.content)) as tile:
            assert (tile.format, tile.size, tile.mode) == ("WEBP", (side, side), "RGBA")
            colours = np.asarray(tile)
        for column in range(4):
            for row in range(4):
                cell = side // 4
                alpha = colours[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
                x, y = (column + 0.5) / 4, (row + 0.5) / 4
                id = own_server.get(f"/v1/map/at?x={x}&y={y}&z=0")["id"]
                assert (alpha[cell // 2, cell // 2, 3] > 200) == (id is not None)
                assert alpha[0, 0, 3] < 60
    last = [_tile(own_server, f"{levels - 1}/{n}/0").content for n in range(2 ** (levels - 1))]
    assert len(set(last)) > 1


def test_a_tile_is_drawn_once(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    _store(own_server)
    first = _tile(own_server, "1/0/1")
    assert first.headers["cache-control"] == "private, no-cache"
    monkeypatch.setattr("cli.web.background.tiles.draw", None)
    assert _tile(own_server, "1/0/1").content == first.content
    answer = own_server.client.get(
        "/v1/map/1/0/1", headers={"if-none-match": first.headers["etag"]}
    )
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_photo_without_a_file_is_a_plain_cell(own_server: Server) -> None:
    _store(own_server)
    for path in own_server.photos.rglob("*.jpg"):
        path.unlink()
    answer = _tile(own_server, "0/0/0")
    assert answer.headers["cache-control"] == "no-store"
    with Image.open(io.BytesIO(answer.content)) as tile:
        assert tile.getextrema()[3] == (0, 255)


def test_deleted_photos_do_not_spoil_a_tile(own_server: Server) -> None:
    _store(own_server)
    own_server.get("/v1/map")
    for path in list(own_server.photos.rglob("*.jpg"))[:20]:
        path.unlink()
    own_server.index()
    assert _tile(own_server, "0/0/0").headers["cache-control"] == "no-store"


def test_what_is_not_there_is_an_error(own_server: Server) -> None:
    assert own_server.client.get("/v1/map/0/0/0").status_code == 404
    _store(own_server)
    levels = own_server.get("/v1/map")["tiles"]
    for address in ("0/1/0", "1/0/2", f"{levels}/0/0", "at?x=0.5&y=0.5&z=20"):
        answer = own_server.client.get(f"/v1/map/{address}")
        assert answer.status_code == 404
        assert answer.json().keys() == {"error", "hint"}
    for address in ("at", "at?x=2&y=0", "0/0/0?side=100", "x/0/0"):
        assert own_server.client.get(f"/v1/map/{address}").status_code in (400, 404)


def test_without_the_extra_one_line_says_how_to_install_it(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("background.maps", "api.map", "api.state"):
        monkeypatch.setattr(f"cli.web.{module}.has_maps", lambda: False)
    assert own_server.get("/v1/info")["map"] is False
    answer = own_server.client.get("/v1/map")
    assert answer.status_code == 501
    assert answer.json() == {
        "error": "the map needs openTSNE",
        "hint": "pip install 'mocosearch[map]'",
    }


def test_a_failure_is_told_once_and_tried_again(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "has_maps", lambda: True)
    real = maps.start
    broken = ["cli.web.background.ignoring", str(own_server.folder / "absent"), "1"]
    monkeypatch.setattr(maps, "start", lambda module, *words: real(*broken))
    own_server.get("/v1/map")
    end = time.monotonic() + SECONDS
    while (answer := own_server.client.get("/v1/map")).status_code == 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert answer.json()["error"].startswith("no index")
    assert own_server.get("/v1/map")["state"] == "computing"


def test_the_least_used_tiles_are_dropped(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "TILE_BYTES", 100)
    some = maps.Maps(tmp_path)
    for number in range(9):
        some.keep(("v", 0, number, 0, 256), bytes(30))
        some.tile(("v", 0, 0, 0, 256))
    numbers = [number for number in range(9) if some.tile(("v", 0, number, 0, 256))]
    assert numbers == [0, 7, 8]
    some.close()
