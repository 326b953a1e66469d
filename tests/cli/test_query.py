import json
import subprocess
import sys
from pathlib import Path

import pytest
from program import Run, environment

ALLOWED_SECONDS = {"total", "encode", "search"}


def test_a_photo_of_the_collection_finds_itself_first(run: Run, photos: Path) -> None:
    for photo in sorted(photos.rglob("*.jpg"))[::7]:
        told = json.loads(run("query", photo, "--json").stdout)
        assert told["results"][0]["path"] == str(photo)
        assert told["results"][0]["score"] >= 0.98


def test_json_has_the_documented_form(run: Run, photos: Path) -> None:
    photo = str(photos / "other" / "photo 03.jpg")
    told = json.loads(run("query", photo, "-k", 4, "--json").stdout)
    assert told.keys() == {"query", "index", "results", "seconds"}
    assert told["query"] == [photo]
    assert told["index"] == "default"
    assert told["seconds"].keys() == ALLOWED_SECONDS
    assert [r["rank"] for r in told["results"]] == [1, 2, 3, 4]
    scores = [r["score"] for r in told["results"]]
    assert scores == sorted(scores, reverse=True)
    first = told["results"][0]
    assert first.keys() == {"rank", "score", "path", "id", "width", "height", "taken"}
    assert (first["width"], first["height"], first["taken"]) == (160, 120, None)


def test_stdin_is_a_query(run: Run, photos: Path, made: Path) -> None:
    photo = photos / "2024" / "may" / "photo 11.jpg"
    with photo.open("rb") as file:
        answered = subprocess.run(
            [sys.executable, "-m", "cli", "query", "-", "--paths", "-k", "1"],
            stdin=file,
            capture_output=True,
            env=environment(made),
        )
    assert answered.stdout.decode().splitlines() == [str(photo)]


def test_several_images_are_asked_by_their_mean(run: Run, photos: Path) -> None:
    pair = [photos / "other" / f"photo 0{n}.jpg" for n in (1, 2)]
    answered = run("query", *pair, "--paths", "-k", 2)
    assert set(answered.stdout.splitlines()) == {str(p) for p in pair}


def test_more_results_than_photos_are_all_of_them(run: Run, photos: Path) -> None:
    answered = run("query", photos / "other" / "photo 00.jpg", "-k", 500, "-0")
    assert len(answered.stdout.split("\0")[:-1]) == 30


def test_results_go_to_stdout_and_nothing_else_does(run: Run, photos: Path) -> None:
    answered = run("query", photos / "other" / "photo 00.jpg", "-k", 3)
    assert len(answered.stdout.splitlines()) == 3
    assert answered.stderr == ""


def test_a_gallery_is_one_page_with_pictures(run: Run, photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    answered = run("query", photos / "other" / "photo 00.jpg", "-k", 3, "--gallery", page)
    assert answered.returncode == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 4
    assert "http" not in text


@pytest.mark.parametrize("module", ["torch", "torchvision", "openvino_telemetry", "rich", "cli.x"])
def test_a_query_leaves_out_what_it_does_not_need(
    made: Path, photos: Path, module: str, tmp_path: Path
) -> None:
    script = (
        "import sys; from cli.main import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        f"sys.exit({module!r} in sys.modules)"
    )
    image = str(photos / "other" / "photo 00.jpg")
    ended = subprocess.run(
        [sys.executable, "-c", script, "query", image], env=environment(made), capture_output=True
    )
    assert ended.returncode == 0, ended.stderr
    assert image in ended.stdout.decode()


def test_a_closed_pipe_ends_quietly(made: Path, photos: Path) -> None:
    line = f"{sys.executable} -m cli query '{photos}/other/photo 00.jpg' -k 30 | head -1"
    ended = subprocess.run(
        ["bash", "-c", line], env=environment(made), capture_output=True, text=True
    )
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""
