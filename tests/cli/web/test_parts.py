"""Photos of which a picture is a part, searched through the API."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textures import texture
from web_server import Server, start

LEFT, TOP, WIDTH, HEIGHT = 90, 60, 120, 100


@pytest.fixture(scope="module")
def parts_server(
    parts_home: Path, texture_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    index = parts_home / "indexes" / "default"
    folder = shutil.copytree(index, tmp_path_factory.mktemp("parts") / "index")
    yield from start(folder, texture_photos)


def _png(picture: Image.Image) -> dict[str, tuple[str, bytes]]:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return {"image": ("part.png", out.getvalue())}


def _part() -> Image.Image:
    return texture(7).crop((LEFT, TOP, LEFT + WIDTH, TOP + HEIGHT))


def _assert_first(answer: dict[str, Any]) -> None:
    first, *others = answer["results"]
    assert first["name"] == "007.jpg"
    assert first["significant"]
    assert first["region"]["x"] == pytest.approx(LEFT, abs=4)
    assert first["region"]["y"] == pytest.approx(TOP, abs=4)
    assert first["region"]["w"] == pytest.approx(WIDTH, abs=6)
    assert first["region"]["h"] == pytest.approx(HEIGHT, abs=6)
    assert first["agreeing"] >= 8
    assert answer["line"] == 1
    assert all(other["region"] is None and not other["significant"] for other in others)


def test_a_part_has_its_place_in_the_photo(parts_server: Server) -> None:
    assert parts_server.get("/v1/info")["parts"]
    fields = {"part": "true", "k": "4"}
    answer = parts_server.post("/v1/search", files=_png(_part()), data=fields)
    _assert_first(answer)
    again = {"ids": answer["uploads"], "part": True, "k": 4}
    _assert_first(parts_server.post("/v1/search", json=again))
    plain = parts_server.post("/v1/search", json={"ids": answer["uploads"]})
    assert "region" not in plain["results"][0]


def test_a_region_of_the_picture_is_the_part(parts_server: Server) -> None:
    page = Image.new("RGB", (400, 300), "grey")
    page.paste(_part(), (200, 150))
    fields = {"part": "true", "crop": f"200,150,{WIDTH},{HEIGHT}"}
    _assert_first(parts_server.post("/v1/search", files=_png(page), data=fields))
    outside = {"part": "true", "crop": "500,0,10,10"}
    answer = parts_server.client.post("/v1/search", files=_png(page), data=outside)
    assert (answer.status_code, "outside" in answer.json()["error"]) == (400, True)


def test_filters_and_scores_count(parts_server: Server) -> None:
    fields = {"part": "true", "min_score": "auto", "format": "PNG"}
    assert not parts_server.post("/v1/search", files=_png(_part()), data=fields)["results"]
    fields["format"] = "JPEG"
    answer = parts_server.post("/v1/search", files=_png(_part()), data=fields)
    assert [one["name"] for one in answer["results"]] == ["007.jpg"]


def test_it_goes_with_one_picture(parts_server: Server) -> None:
    for more in ({"ids": [1, 2]}, {"ids": [1], "minus": [2]}, {"ids": [1], "turned": True}):
        answer = parts_server.client.post("/v1/search", json={**more, "part": True})
        assert answer.status_code == 400
        assert "part goes with one picture" in answer.json()["error"]


def test_an_index_without_regions_says_how_to_add_them(server: Server) -> None:
    assert not server.get("/v1/info")["parts"]
    answer = server.client.post("/v1/search", json={"ids": [1], "part": True})
    assert answer.status_code == 400
    assert "mocosearch index --parts" in answer.json()["hint"]


def test_a_picture_that_cannot_be_read(parts_server: Server) -> None:
    files = {"image": ("part.png", _png(_part())["image"][1][:200])}
    answer = parts_server.client.post("/v1/search", files=files, data={"part": "true"})
    assert answer.status_code == 422
    assert "cannot read the picture" in answer.json()["error"]


def test_photos_are_decoded_outside_the_server(
    parts_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexes.parts.search.read", None)
    fields = {"part": "true", "k": "4"}
    _assert_first(parts_server.post("/v1/search", files=_png(_part()), data=fields))
