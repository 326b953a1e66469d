"""Search: the same answers as the command, from pictures, ids and vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import command
from web_server import Server

from cli.web.http import bodies
from indexes import Index
from mocosearch.photos.workers.decoders import Limits


def _query(server: Server, *words: object) -> list[dict[str, Any]]:
    """The results of the command, in a process of its own."""
    run = command(
        *("query", *words, "--index", server.folder, "--json", "-k", 12),
        home=server.folder.parent,
        fork=False,
    )
    assert run.returncode == 0, run.stderr
    results: list[dict[str, Any]] = json.loads(run.stdout)["results"]
    return results


def _files(*paths: Path, name: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(name, (path.name, path.read_bytes())) for path in paths]


def _some(server: Server) -> list[Path]:
    return sorted(server.photos.glob("2024/*.jpg"))


SEARCHES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "one picture": ([], {}),
    "a region": (["--crop", "10%,10%,60%,60%"], {"crop": "10%,10%,60%,60%"}),
    "all orientations": (["--turned"], {"turned": "true"}),
    "a filter": (["--taken", "2024-01..2024-04"], {"taken": "2024-01..2024-04"}),
    "the earliest first": (["--sort", "taken"], {"sort": "taken"}),
    "the worst first": (["--reverse"], {"reverse": "true"}),
    "a lowest score": (["--min-score", "0.5"], {"min_score": "0.5"}),
    "no chance": (["--min-score", "auto"], {"min_score": "auto"}),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_answer_is_that_of_the_command(server: Server, name: str) -> None:
    words, fields = SEARCHES[name]
    picture = _some(server)[3]
    expected = _query(server, picture, *words)
    answer = server.post("/v1/search", files=_files(picture), data={"k": "12", **fields})
    results = answer["results"]
    files = [result["path"] for result in results]
    files += [copy["path"] for result in results for copy in result["copies"]]
    assert set(files) >= {result["path"] for result in expected}
    by_path = {result["path"]: result for result in results}
    same = [result for result in expected if result["path"] in by_path]
    assert len(same) >= len(expected) - 1
    for one in same:
        other = by_path[one["path"]]
        for fact in ("id", "width", "height", "taken", "missing"):
            assert other[fact] == one[fact]
        assert other["score"] == pytest.approx(one["score"], abs=1e-6)
    order = [result["path"] for result in results if result["path"] in {o["path"] for o in same}]
    assert order == [one["path"] for one in same]


def test_several_pictures_and_unwanted_ones_count_as_in_the_command(server: Server) -> None:
    one, two, three = _some(server)[:3]
    expected = _query(server, one, two, "--minus", three)
    files = [*_files(one, two), *_files(three, name="minus_image")]
    results = server.post("/v1/search", files=files, data={"k": "12"})["results"]
    scores = {result["path"]: result["score"] for result in results}
    for one_result in expected[:8]:
        if one_result["path"] in scores:
            expected_score = pytest.approx(one_result["score"], abs=1e-6)
            assert scores[one_result["path"]] == expected_score


def test_a_photo_of_the_collection_is_its_own_nearest(server: Server) -> None:
    answer = server.post("/v1/search", json={"ids": [7], "k": 5})
    assert answer["results"][0]["id"] == 7
    assert answer["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4, 5]
    assert {"total", "encode", "search"} == answer["seconds"].keys()


def test_a_vector_searches_like_the_photo_that_has_it(server: Server) -> None:
    def key(index: Index) -> list[float]:
        return [float(one) for one in index.keys([9])[0]]

    vector = server.service.collection.run(key)
    by_vector = server.post("/v1/search", json={"vector": vector, "k": 6})["results"]
    by_id = server.post("/v1/search", json={"ids": [9], "k": 6})["results"]
    assert [one["id"] for one in by_vector] == [one["id"] for one in by_id]
    for wrong in (vector[:-1], [*vector, 0.0]):
        assert server.client.post("/v1/search", json={"vector": wrong}).status_code == 400


def test_a_region_of_a_photo_of_the_collection_is_that_of_its_file(server: Server) -> None:
    path = Path(server.get("/v1/images/5")["paths"][0])
    fields = {"crop": "0%,0%,50%,50%", "k": 10}
    by_id = server.post("/v1/search", json={"ids": [5], **fields})["results"]
    by_file = server.post("/v1/search", files=_files(path), data=fields)["results"]
    scores = {one["id"]: one["score"] for one in by_file}
    assert all(one["score"] == pytest.approx(scores[one["id"]], abs=1e-6) for one in by_id[1:5])


def test_copies_share_a_result_and_are_listed(server: Server) -> None:
    original = _some(server)[20]
    results = server.post("/v1/search", files=_files(original), data={"k": "5"})["results"]
    files = {results[0]["path"], *(copy["path"] for copy in results[0]["copies"])}
    assert files == {str(original), str(server.photos / "old" / "smaller.jpg")}


def test_an_upload_is_used_again_by_its_handle(server: Server) -> None:
    answer = server.post("/v1/search", files=_files(_some(server)[0]), data={"k": "4"})
    (handle,) = answer["uploads"]
    again = server.post("/v1/search", json={"ids": [handle], "k": 4})
    assert again["results"] == answer["results"]
    assert again["uploads"] == []
    refined = server.post("/v1/search", json={"ids": [handle, 3], "minus": [8], "k": 4})
    assert len(refined["results"]) == 4
    assert (
        server.client.get(f"/v1/uploads/{handle}?side=160").headers["content-type"] == "image/jpeg"
    )
    missing = server.client.post("/v1/search", json={"ids": ["u0000000000000000"]})
    assert (missing.status_code, missing.json()["hint"]) == (404, "send the picture again")


def test_uploads_are_a_bounded_number_and_stay_in_memory(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 2_000_000
    first = own_server.post("/v1/search", files=_files(tmp_path / "large.png"))["uploads"][0]
    for _ in range(70):
        own_server.service.uploads.add(b"x")
    assert own_server.client.get(f"/v1/uploads/{first}").status_code == 404


def test_the_line_is_where_results_may_be_chance(server: Server) -> None:
    answer = server.post("/v1/search", json={"ids": [1], "k": 40})
    flags = [result["significant"] for result in answer["results"]]
    assert answer["line"] == (None if all(flags) else flags.index(False))
    assert flags == sorted(flags, reverse=True)
    assert server.post("/v1/search", json={"ids": [1], "sort": "taken"})["line"] is None


def test_wrong_searches_say_what_is_wrong(server: Server) -> None:
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, 400),
        ({"ids": []}, 400),
        ({"ids": [999_999]}, 404),
        ({"ids": [1], "k": 0}, 400),
        ({"ids": [1], "k": 1001}, 400),
        ({"ids": ["one"]}, 400),
        ({"ids": [1], "crop": "all"}, 400),
        ({"ids": [1], "crop": "1000,1000,5,5"}, 400),
        ({"ids": [1], "sort": "size"}, 400),
        ({"ids": [1], "colour": "red"}, 400),
        ({"ids": [1], "turned": "yes"}, 400),
        ({"ids": [1], "in": ["a\0b"]}, 400),
        ({"vector": ["a"]}, 400),
    ]
    for body, status in cases:
        answer = server.client.post("/v1/search", json=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.json()["error"]
    headers = {"content-type": "application/json"}
    for text in ("", "{", "[]", '{"ids": [NaN]}', "[" * 100_000, '"x"'):
        answer = server.client.post("/v1/search", content=text, headers=headers)
        assert answer.status_code == 400, text[:20]
    assert server.client.post("/v1/search", content="x").status_code == 415
    answer = server.client.post("/v1/search", files=[("other", ("a.jpg", b"x"))])
    assert answer.status_code == 400


def test_files_that_are_no_pictures_are_not_accepted(server: Server) -> None:
    bad = {
        b"": "empty file",
        b"GIF89a" + bytes(40): "",
        b"<svg onload=alert(1)>": "not a picture in any known format",
        b"%PDF-1.4": "not a picture in any known format",
    }
    for data, reason in bad.items():
        answer = server.client.post("/v1/search", files=[("image", ("a.jpg", data))])
        assert answer.status_code == 422, data
        assert reason in answer.json()["error"]
        assert "JPEG" in answer.json()["hint"]


def test_bodies_are_limited_before_they_are_decoded(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_server.service.bodies, "limit", 10_000)
    large = [("image", ("a.jpg", bytes(20_000)))]
    assert own_server.client.post("/v1/search", files=large).status_code == 413

    def without_length() -> Any:
        yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(20):
            yield bytes(1000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = own_server.client.post("/v1/search", content=without_length(), headers=headers)
    assert answer.status_code == 413
    monkeypatch.setattr(own_server.service.bodies, "limit", 10**8)
    monkeypatch.setattr(bodies, "JSON_BYTES", 1000)
    headers = {"content-type": "application/json"}
    answer = own_server.client.post("/v1/search", content=" " * 2000, headers=headers)
    assert answer.status_code == 413


def test_pixels_are_limited_by_the_header_before_they_are_decoded(
    own_server: Server, tmp_path: Path
) -> None:
    own_server.service.limits = Limits(10**6, 10_000)
    path = tmp_path / "large.png"
    Image.new("RGB", (101, 100)).save(path)
    answer = own_server.client.post("/v1/search", files=_files(path))
    assert answer.status_code == 422
    assert "101 x 100 pixels, over the limit" in answer.json()["error"]
    # A header that promises more than the file has.
    data = path.read_bytes()
    bomb = data[:16] + (60_000).to_bytes(4, "big") * 2 + data[24:]
    answer = own_server.client.post("/v1/search", files=[("image", ("b.png", bomb))])
    assert answer.status_code == 422


def test_pictures_are_decoded_in_another_process(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise AssertionError("decoded in the server's process")

    monkeypatch.setattr(Image, "open", fail)
    picture = _some(server)[1]
    assert server.post("/v1/search", files=_files(picture), data={"k": "3"})["results"]
    assert server.client.get("/v1/images/2/thumbnail?side=160").status_code == 200


def test_clients_of_clip_retrieval_are_served(server: Server) -> None:
    import base64

    data = base64.b64encode(_some(server)[2].read_bytes()).decode()
    body = {
        "text": None,
        "image": data,
        "image_url": None,
        "embedding_input": None,
        "deduplicate": True,
        "use_safety_model": True,
        "use_violence_detector": True,
        "indice_name": "default",
        "use_mclip": False,
        "aesthetic_score": 9,
        "aesthetic_weight": 0.5,
        "modality": "image",
        "num_images": 5,
    }
    # As clip_retrieval.clip_client sends it: without a media type.
    answer = server.post("/knn-service", content=json.dumps(body))
    assert len(answer) == 5
    assert answer[0]["image_path"] == str(_some(server)[2])
    assert answer[0]["similarity"] > answer[-1]["similarity"]
    assert answer[0]["url"].startswith("http://127.0.0.1:8420/v1/images/")
    assert server.client.post("/knn-service", content='{"text": "a cat"}').status_code == 400
    assert server.client.post("/knn-service", content="{}").status_code == 400
