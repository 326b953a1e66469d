import json
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from program import Run, make_photos


@pytest.fixture(scope="module")
def ready_home(trained_home: Path) -> Path:
    """The index of a trained encoder."""
    return trained_home


def test_info_of_an_index(run: Run, photos: Path) -> None:
    info = json.loads(run("info", "--json").stdout)
    contract = {"images", "skipped", "dimension", "encoder", "kind", "segments", "bytes"}
    assert info.keys() >= contract
    assert info["images"] == 30
    assert info["skipped"] == 0
    assert info["dimension"] == 256
    assert info["segments"] == 1
    assert info["bytes"] > 0
    assert info["roots"] == [str(photos)]
    assert "images" in run("info").stdout


def test_info_of_single_photos(run: Run, tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path / "photos", 1)
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "One"
    with Image.open(photo) as image:
        image.save(photo, exif=exif)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "photos" / "notes.txt").write_text("words")
    run("index", tmp_path / "photos", "--index", tmp_path / "index")
    names = ("photo 00.jpg", "bad.jpg", "notes.txt")
    words = ["info", *names, "--index", tmp_path / "index"]
    facts = json.loads(run(*words, "--json", cwd=tmp_path / "photos").stdout)
    assert [document["path"] for document in facts] == [str(tmp_path / "photos" / n) for n in names]
    assert facts[0]["camera"] == "One"
    assert (facts[0]["width"], facts[0]["height"], facts[0]["format"]) == (160, 120, "JPEG")
    assert (facts[0]["size"], facts[0]["paths"]) == (photo.stat().st_size, [str(photo)])
    assert len(facts[0]["perceptual"]) == 16
    assert facts[1]["skipped"]
    assert facts[2]["skipped"] == "not a picture"
    text = run(*words, cwd=tmp_path / "photos").stdout
    assert "camera        One" in text
    totals = json.loads(run("info", "--index", tmp_path / "index", "--json").stdout)
    assert (totals["images"], totals["skipped"], totals["not_pictures"]) == (1, 1, 1)
    unknown = run("info", tmp_path / "other.jpg", "--index", tmp_path / "index")
    assert unknown.returncode == 1
    assert "is not in the index" in unknown.stderr


def test_segments_as_text(run: Run) -> None:
    lines = dict(line.split(None, 1) for line in run("info").stdout.splitlines())
    assert lines["segments"] == f"{lines['keys']} SQfp16"


def test_indexes_as_json(run: Run, photos: Path) -> None:
    """`info` and `indexes` agree, and name skipped files with the same word."""
    info = json.loads(run("info", "--json").stdout)
    (row,) = json.loads(run("indexes", "--json").stdout)["indexes"]
    assert row.keys() == {"name", "images", "skipped", "encoder", "bytes", "roots"}
    assert row == {name: info[name] for name in row if name != "name"} | {"name": "default"}
    assert f"30 photos, {info['bytes'] / 1e6:.1f} MB, {photos}" in run("indexes").stdout


def test_an_index_has_no_figures_of_the_training(trained_home: Path) -> None:
    encoder, index = (trained_home / place / "default" for place in ("encoders", "indexes"))
    assert b"chance_loss" in (encoder / "metrics.jsonl").read_bytes()
    files = [file for file in index.rglob("*") if file.is_file()]
    assert not any(b"chance_loss" in file.read_bytes() for file in files)
