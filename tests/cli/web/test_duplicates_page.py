"""Copies: groups, what differs, what is no copy, the script; and two indexes side by side."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from light import openvino_encoder
from program import command
from web_server import Server, start

from cli.web.api.duplicates import differences
from indexes import Index
from indexes.store.records import Record


@pytest.fixture
def own_server(own_server: Server) -> Server:
    """A server whose index knows the times of its own copies of the photos."""
    own_server.index()
    return own_server


def _wait(server: Server, query: str = "") -> Any:
    """The groups, once they are computed."""
    for _ in range(600):
        answer = server.get(f"/v1/duplicates{query}")
        if answer["state"] == "done":
            return answer
        time.sleep(0.1)
    raise AssertionError("the groups were not computed")


def test_groups_are_those_of_the_command(own_server: Server) -> None:
    answer = _wait(own_server)
    (group,) = answer["groups"]
    assert answer["total"] == 1
    by_name = {photo["name"]: photo for photo in group["photos"]}
    assert by_name.keys() == {"photo 20.jpg", "smaller.jpg"}
    kept, other = by_name["photo 20.jpg"], by_name["smaller.jpg"]
    assert (kept["keep"], other["keep"]) == (True, False)
    assert kept["differences"] == []
    assert group["differences"] == other["differences"]
    assert any("instead of" in word for word in other["differences"])
    assert _wait(own_server, "?offset=1")["groups"] == []


def test_not_a_copy_is_remembered(own_server: Server) -> None:
    (group,) = _wait(own_server)["groups"]
    ids = [photo["id"] for photo in group["photos"]]
    before = own_server.get("/v1/info")["version"]
    answer = own_server.post("/v1/duplicates/ignore", json={"ids": ids})
    assert answer["version"] != before
    # At once, and without another search for all copies.
    assert own_server.get("/v1/duplicates")["groups"] == []
    assert own_server.get("/v1/duplicates")["state"] == "done"
    run = command(
        *("duplicates", "--json", "--index", own_server.folder),
        home=own_server.folder.parent,
        fork=False,
    )
    assert '"groups": []' in run.stdout


def test_not_a_copy_waits_for_no_other_program(own_server: Server) -> None:
    (group,) = _wait(own_server)["groups"]
    ids = [photo["id"] for photo in group["photos"]]
    lock = _other_writer(own_server.folder)
    try:
        answer = own_server.client.post("/v1/duplicates/ignore", json={"ids": ids})
        assert (answer.status_code, bool(answer.json()["hint"])) == (409, True)
    finally:
        lock.release()
    assert own_server.client.post("/v1/duplicates/ignore", json={"ids": [10**9]}).status_code == 404
    assert own_server.client.post("/v1/duplicates/ignore", json={"ids": []}).status_code == 400


def _other_writer(folder: Path) -> Any:
    from indexes.store.locks import WriterLock

    return WriterLock(folder)


def test_the_script_is_that_of_the_command(own_server: Server) -> None:
    _wait(own_server)
    run = command(
        *("duplicates", "--script", "--index", own_server.folder),
        home=own_server.folder.parent,
        fork=False,
    )
    assert own_server.client.get("/v1/duplicates/script").text == run.stdout
    assert "rm --" in run.stdout


def test_new_photos_are_compared_too(own_server: Server) -> None:
    assert _wait(own_server)["total"] == 1
    data = (own_server.photos / "2024" / "photo 03.jpg").read_bytes()
    (own_server.photos / "again.jpg").write_bytes(data)
    own_server.index()
    assert _wait(own_server)["total"] == 2


def test_an_error_of_the_search_for_copies_is_one_line(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_server.service.copies, "folder", Path("/nowhere"))
    for _ in range(100):
        answer = own_server.client.get("/v1/duplicates")
        if answer.status_code != 200:
            break
        time.sleep(0.1)
    assert answer.status_code >= 400
    assert answer.json()["error"] == "no index at /nowhere"


def test_what_differs_is_said_in_words() -> None:
    best = Record(4000, 3000, "JPEG", "2024-05-01T10:00:00", 5_000_000, "aa", camera="X100")
    small = Record(2000, 1500, "PNG", None, 900_000, "bb", latitude=1.0, longitude=2.0)
    assert differences(small, best) == [
        "2000 x 1500 instead of 4000 x 3000 pixels",
        "PNG instead of JPEG",
        "900.0 kB instead of 5.0 MB",
        "no date instead of 2024-05-01 10:00:00",
        "no camera instead of X100",
        "with a place",
    ]
    assert differences(best, best) == []


def test_two_indexes_answer_one_question(own_server: Server, home: Path) -> None:
    (home / "indexes").mkdir(parents=True)
    encoder = openvino_encoder(home / "other-encoder")
    with Index.create("other", encoder) as index:
        index.sync(own_server.photos / "2024", workers=1)
    assert {"index": "other", "name": "other"} in own_server.get("/v1/info")["encoders"]
    answer = own_server.post("/v1/compare", json={"ids": [3], "other": "other", "k": 6})
    assert answer["a"]["results"][0]["id"] == 3
    names = {image["id"]: image["name"] for image in own_server.get("/v1/images")["images"]}
    for result in answer["b"]["results"]:
        # The photos of the other index, by the ids of this one.
        assert names[result["id"]] == Path(result["path"]).name
        assert "2024" in result["path"]
    picture = own_server.photos / "old" / "photo 01.jpg"
    files = [("image", (picture.name, picture.read_bytes()))]
    answer = own_server.post("/v1/compare", files=files, data={"other": "other", "k": "4"})
    assert len(answer["b"]["results"]) == 4
    assert answer["uploads"]


def test_only_indexes_of_the_home_are_compared(own_server: Server) -> None:
    for name in (str(own_server.folder), "../index", "none", "."):
        body = {"ids": [1], "other": name}
        assert own_server.client.post("/v1/compare", json=body).status_code == 404, name
    assert own_server.client.post("/v1/compare", json={"ids": [1]}).status_code == 400


@pytest.fixture
def server_at_home(web_index: Path, web_photos: Path, home: Path) -> Iterator[Server]:
    """A server of the index `default` in a home with a second one."""
    for name in ("default", "other"):
        shutil.copytree(web_index, home / "indexes" / name)
    yield from start(home / "indexes" / "default", web_photos)


def test_an_index_is_not_compared_with_itself(server_at_home: Server) -> None:
    answer = server_at_home.client.post("/v1/compare", json={"ids": [1], "other": "default"})
    assert answer.status_code == 404
    assert "no other index default" in answer.json()["error"]
    assert server_at_home.post("/v1/compare", json={"ids": [1], "other": "other"})["b"]["results"]
