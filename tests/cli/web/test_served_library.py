"""The gallery over a library of two shards answers as over one index."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Once
from light import openvino_encoder
from web_server import Server, start

from indexes.library.build import build_shard
from indexes.library.planning import Request, plan

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def served(
    once: Once, web_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    def make(folder: Path) -> None:
        encoder = openvino_encoder(folder / "encoder")
        plan(folder / "library", Request([web_photos], 2), encoder)
        for shard in ("0", "1"):
            build_shard(folder / "library", shard, workers=1)

    built = once("web-library", make) / "library"
    folder = shutil.copytree(built, tmp_path_factory.mktemp("served") / "library")
    yield from start(folder, web_photos)


def test_photos_and_pictures(server: Server, served: Server) -> None:
    for path in ("/v1/timeline", "/v1/folders"):
        some, same = served.get(path), server.get(path)
        some.pop("version", None), same.pop("version", None)
        assert some == same
    images = served.get("/v1/images?limit=1000")["images"]
    assert len({image["id"] for image in images}) == 40
    names = [image["name"] for image in server.get("/v1/images?limit=1000")["images"]]
    assert sorted(image["name"] for image in images) == sorted(names)
    photo = served.get(f"/v1/images/{images[0]['id']}")
    assert photo["missing"] is False
    picture = served.client.get(f"/v1/images/{images[-1]['id']}/thumbnail?side=64")
    assert picture.headers["content-type"] == "image/jpeg"
    assert served.client.get("/v1/images/77").status_code == 404


def test_a_search(server: Server, served: Server, web_photos: Path) -> None:
    data = next(web_photos.rglob("*.jpg")).read_bytes()
    answers = [
        one.post("/v1/search", files={"image": ("a.jpg", data)}, data={"k": "10"})["results"]
        for one in (server, served)
    ]
    paths = [[result["path"] for result in some] for some in answers]
    assert paths[0] == paths[1]
    best = answers[1][0]["id"]
    again = served.post("/v1/search", json={"ids": [best], "k": 3})["results"]
    assert again[0]["id"] == best


def test_a_shard_that_disappears_leaves_the_others(served: Server) -> None:
    assert served.get("/v1/info")["photos"] == 40
    shutil.rmtree(served.folder / "shards" / "00001")
    served.service.collection.follow()
    left = served.get("/v1/info")["photos"]
    assert 0 < left < 40
    assert served.get("/healthz") == {"status": "ok"}
