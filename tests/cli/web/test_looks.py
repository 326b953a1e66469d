"""Looks over HTTP: what `mocosearch look teach` asks, states and stores."""

from pathlib import Path
from typing import Any

import pytest
from web_server import Server

from cli.web.api.looks import Lesson
from indexes.looks import look as looks


@pytest.fixture
def beach(own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> looks.Look:
    """A look with two pictures, one of them unwanted, in a home of its own."""
    monkeypatch.setenv("MOCOSEARCH_HOME", str(tmp_path / "home"))
    photos = own_server.photos / "2024"
    return looks.save("beach at sea", [photos / "photo 00.jpg"], [photos / "photo 07.jpg"])


def test_looks_are_listed(own_server: Server, beach: looks.Look) -> None:
    assert own_server.get("/v1/info")["looks"] == 1
    (one,) = own_server.get("/v1/looks")["looks"]
    assert one == {
        "name": "beach at sea",
        "pictures": [{"number": 0, "wanted": True}, {"number": 1, "wanted": False}],
        "yes": 0,
        "no": 0,
    }


def test_a_look_states_its_error_and_its_doubts_as_the_command_does(
    own_server: Server, beach: looks.Look
) -> None:
    answer = own_server.get("/v1/looks/beach%20at%20sea?count=5")
    lesson = own_server.service.collection.run(
        lambda index: Lesson(beach, index.snapshot, index.encoder)
    )
    expectation = lesson.expectation()
    assert answer["adds"] == expectation.adds
    assert answer["wrong"] == pytest.approx(expectation.wrong)
    assert answer["examples"] == expectation.examples == 2
    digests = [one["v"] for one in answer["doubts"]]
    assert digests == [doubt.record.digest[:12] for doubt in lesson.doubts(5)]
    assert all(0 <= one["probability"] <= 1 for one in answer["doubts"])


def test_answers_are_stored_and_are_not_asked_again(own_server: Server, beach: looks.Look) -> None:
    asked = own_server.get("/v1/looks/beach%20at%20sea")["doubts"]
    first, second = asked[0]["id"], asked[1]["id"]
    body: dict[str, Any] = {
        "answers": [{"id": first, "belongs": True}, {"id": second, "belongs": False}]
    }
    after = own_server.post("/v1/looks/beach%20at%20sea/answers", json=body)
    assert (after["yes"], after["no"], after["examples"]) == (1, 1, 4)
    assert not {first, second} & {one["id"] for one in after["doubts"]}
    stored = looks.load("beach at sea").answers
    assert {digest[:12]: belongs for digest, belongs in stored.items()} == {
        asked[0]["v"]: True,
        asked[1]["v"]: False,
    }
    # Another answer replaces the first one.
    body = {"answers": [{"id": first, "belongs": False}]}
    again = own_server.post("/v1/looks/beach%20at%20sea/answers", json=body)
    assert (again["yes"], again["no"]) == (0, 2)


def test_its_pictures_are_shown_small(own_server: Server, beach: looks.Look) -> None:
    for number in (0, 1):
        answer = own_server.client.get(f"/v1/looks/beach%20at%20sea/pictures/{number}?side=64")
        assert (answer.status_code, answer.content[:2]) == (200, b"\xff\xd8")
        assert b"Exif" not in answer.content[:400]
    assert own_server.client.get("/v1/looks/beach%20at%20sea/pictures/2").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/looks/other", 404),
        ("/v1/looks/..%2F..%2Fetc", 404),
        ("/v1/looks/.hidden", 400),
        ("/v1/looks/beach%20at%20sea?count=0", 400),
    ],
)
def test_what_is_no_look_is_an_error(
    own_server: Server, beach: looks.Look, path: str, status: int
) -> None:
    answer = own_server.client.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"answers": []},
        {"answers": [{"id": 1}]},
        {"answers": [{"id": 1, "belongs": "yes"}]},
        {"answers": [{"id": 99999, "belongs": True}]},
    ],
)
def test_wrong_answers_store_nothing(own_server: Server, beach: looks.Look, body: Any) -> None:
    answer = own_server.client.post("/v1/looks/beach%20at%20sea/answers", json=body)
    assert answer.status_code in (400, 404)
    assert looks.load("beach at sea").answers == {}
