"""The timeline, pages of it, one photo, folders, and its pictures."""

import io
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from web_server import Server

from cli.web.api.photos import disk_of
from indexes.store.roots import Roots


def test_the_timeline_counts_each_month_newest_first(server: Server) -> None:
    timeline = server.get("/v1/timeline")
    months = [(one["month"], one["count"]) for one in timeline["months"]]
    assert months == [*((f"2024-{month:02}", 2) for month in range(6, 0, -1)), (None, 28)]
    assert timeline["total"] == 40
    assert timeline["months"][0]["aspect"] == pytest.approx(2 * 160 / 120, abs=0.001)


def test_pages_together_are_the_collection_newest_first(server: Server) -> None:
    images = []
    for offset in range(0, 48, 7):
        page = server.get(f"/v1/images?offset={offset}&limit=7")
        assert (page["total"], page["offset"]) == (40, offset)
        images += page["images"]
    assert len({image["id"] for image in images}) == 40
    dates = [image["taken"] or "" for image in images]
    assert dates == sorted(dates, reverse=True)
    assert images[0].keys() == {"id", "width", "height", "taken", "name", "v"}


def test_a_month_and_the_photos_without_a_date_have_pages(server: Server) -> None:
    may = server.get("/v1/images?month=2024-05")
    assert {image["taken"][:7] for image in may["images"]} == {"2024-05"}
    assert may["total"] == len(may["images"]) == 2
    assert server.get("/v1/images?month=none")["total"] == 28
    assert server.get("/v1/images?month=1999-01") | {"version": ""} == {
        "version": "",
        "total": 0,
        "offset": 0,
        "images": [],
    }


def test_filters_are_those_of_the_command(server: Server) -> None:
    assert server.get("/v1/timeline?taken=2024-02..2024-03")["total"] == 4
    assert server.get("/v1/images?camera=camera%20one")["total"] == 12
    assert server.get("/v1/images?min_side=121")["total"] == 0
    (folder,) = (one["path"] for one in server.get("/v1/folders")["folders"])
    assert server.get("/v1/images", params={"in": f"{folder}/old"})["total"] == 15
    assert server.get("/v1/images", params={"not_in": f"{folder}/old"})["total"] == 25
    for name, value in (("taken", "yesterday"), ("near", "here"), ("min_side", "-1"), ("x", "1")):
        answer = server.client.get("/v1/images", params={name: value})
        assert answer.status_code == 400, name
        assert answer.json()["error"]
    assert server.client.get("/v1/images", params={"in": "/nowhere"}).status_code == 404


def test_one_photo_has_its_facts_and_neighbours(server: Server) -> None:
    images = server.get("/v1/images?limit=50")["images"]
    for before, image in pairwise(images):
        assert server.get(f"/v1/images/{image['id']}")["previous"] == before["id"]
        assert server.get(f"/v1/images/{before['id']}")["next"] == image["id"]
    first = server.get(f"/v1/images/{images[0]['id']}")
    assert first["previous"] is None
    assert (first["camera"], first["format"], first["missing"]) == ("Camera One", "JPEG", False)
    assert first["bytes"] == Path(first["paths"][0]).stat().st_size
    assert server.client.get("/v1/images/999999").status_code == 404


def test_folders_are_listed_level_by_level(server: Server) -> None:
    (root,) = server.get("/v1/folders")["folders"]
    assert (root["name"], root["photos"]) == (server.photos.name, 40)
    below = server.get("/v1/folders", params={"under": root["path"]})["folders"]
    assert [(one["name"], one["photos"]) for one in below] == [("2024", 25), ("old", 15)]
    assert server.get("/v1/folders", params={"under": below[0]["path"]})["folders"] == []


def test_thumbnails_are_small_upright_and_without_metadata(own_server: Server) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret description"
    path = own_server.photos / "turned.jpg"
    picture = Image.new("RGB", (600, 400), "red")
    picture.save(path, exif=exif, comment=b"a secret comment")
    own_server.index()
    (id,) = (
        image["id"]
        for image in own_server.get("/v1/images?limit=99")["images"]
        if image["name"] == "turned.jpg"
    )
    data = own_server.client.get(f"/v1/images/{id}/thumbnail?side=160").content
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (107, 160)
        assert not small.getexif()
    assert b"secret" in path.read_bytes()
    assert b"secret" not in data


def test_a_thumbnail_is_made_once(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = own_server.client.get("/v1/images/1/thumbnail?side=320").content
    with monkeypatch.context() as patch:
        patch.setattr(own_server.service, "decoders", None)
        assert own_server.client.get("/v1/images/1/thumbnail?side=320").content == first
        # Sides are rounded up, so that few are stored.
        assert own_server.client.get("/v1/images/1/thumbnail?side=300").content == first


def test_thumbnails_stand_in_for_photos_on_an_unplugged_disk(own_server: Server) -> None:
    image = own_server.get("/v1/images?limit=1")["images"][0]
    small = own_server.client.get(f"/v1/images/{image['id']}/thumbnail?side=320").content
    shutil.rmtree(own_server.photos)
    gone = own_server.get(f"/v1/images/{image['id']}")
    assert gone["missing"]
    assert gone["disk"] == str(own_server.photos)
    assert own_server.client.get(f"/v1/images/{image['id']}/thumbnail?side=320").content == small
    # Another size than the stored one, and the picture for display.
    assert own_server.client.get(f"/v1/images/{image['id']}/thumbnail?side=640").content == small
    assert own_server.client.get(f"/v1/images/{image['id']}/file").content == small
    others = own_server.get("/v1/images?limit=2")["images"][1:]
    answer = own_server.client.get(f"/v1/images/{others[0]['id']}/thumbnail")
    assert (answer.status_code, answer.json()["error"]) == (404, "the photo's file is missing")


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("/media/ann/HOLIDAY/2024", "HOLIDAY"),
        ("/run/media/ann/HOLIDAY", "HOLIDAY"),
        ("/mnt/disk2/photos", "disk2"),
        ("/Volumes/Photos", "Photos"),
        ("/somewhere/else", "/somewhere/else"),
    ],
)
def test_a_disk_is_named_as_people_name_it(root: str, name: str) -> None:
    class Fake:
        roots = Roots({1: root})

    assert disk_of(Fake(), [f"{root}/a.jpg"]) == name  # type: ignore[arg-type]


def test_thumbnails_are_cached_for_ever_only_under_an_address_of_their_own(server: Server) -> None:
    image = server.get("/v1/images?limit=1")["images"][0]
    path = f"/v1/images/{image['id']}/thumbnail"
    assert "immutable" in server.client.get(f"{path}?v={image['v']}").headers["cache-control"]
    for plain in (server.client.get(path), server.client.get(f"{path}?v=other")):
        assert plain.headers["cache-control"] == "private, no-cache"
        again = server.client.get(path, headers={"if-none-match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_file_is_sent_as_it_is_where_browsers_show_it(server: Server) -> None:
    facts = server.get("/v1/images/1")
    answer = server.client.get("/v1/images/1/file")
    assert answer.content == Path(facts["paths"][0]).read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(server.client.get("/v1/images/1/file?side=64").content)) as small:
        assert max(small.size) == 64


def test_other_formats_are_shown_as_jpeg(own_server: Server) -> None:
    Image.new("RGB", (90, 60), "blue").save(own_server.photos / "scan.tiff")
    own_server.index()
    images = own_server.get("/v1/images?format=tiff")["images"]
    answer = own_server.client.get(f"/v1/images/{images[0]['id']}/file")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (90, 60))


def test_a_file_that_took_a_photos_place_is_not_sent(own_server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret text")
    path = Path(own_server.get("/v1/images/1")["paths"][0])
    path.unlink()
    path.symlink_to(secret)
    for end in ("file", "thumbnail"):
        answer = own_server.client.get(f"/v1/images/1/{end}")
        assert answer.status_code == 422, end
        assert b"secret text" not in answer.content


def test_new_photos_appear_without_a_restart(own_server: Server) -> None:
    before = own_server.get("/v1/info")
    Image.new("RGB", (80, 80), "green").save(own_server.photos / "new.png")
    own_server.index()
    own_server.run("compact")
    after = own_server.get("/v1/info")
    assert after["photos"] == before["photos"] + 1
    assert after["version"] != before["version"]
    assert own_server.get("/v1/timeline")["total"] == 41
