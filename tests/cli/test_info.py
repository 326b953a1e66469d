import json
from pathlib import Path

from PIL import ExifTags, Image
from program import Run, make_photos


def test_info_tells_what_is_there(run: Run, photos: Path) -> None:
    told = json.loads(run("info", "--json").stdout)
    assert told["images"] == 30
    assert told["skipped"] == 0
    assert told["dimension"] == 256
    assert told["segments"] == 1
    assert told["bytes"] > 0
    assert told["roots"] == [str(photos)]
    assert "images" in run("info").stdout


def test_info_of_photos(run: Run, tmp_path: Path) -> None:
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
    told = json.loads(run(*words, "--json", cwd=tmp_path / "photos").stdout)
    assert [document["path"] for document in told] == [str(tmp_path / "photos" / n) for n in names]
    assert told[0]["camera"] == "One"
    assert (told[0]["width"], told[0]["height"], told[0]["format"]) == (160, 120, "JPEG")
    assert (told[0]["size"], told[0]["paths"]) == (photo.stat().st_size, [str(photo)])
    assert len(told[0]["perceptual"]) == 16
    assert told[1]["skipped"]
    assert told[2]["skipped"] == "not a picture"
    shown = run(*words, cwd=tmp_path / "photos").stdout
    assert "camera        One" in shown
    totals = json.loads(run("info", "--index", tmp_path / "index", "--json").stdout)
    assert (totals["images"], totals["skipped"], totals["not_pictures"]) == (1, 1, 1)
    unknown = run("info", tmp_path / "other.jpg", "--index", tmp_path / "index")
    assert unknown.returncode == 1
    assert "does not know" in unknown.stderr


def test_segments_are_told_in_words(run: Run) -> None:
    lines = dict(line.split(None, 1) for line in run("info").stdout.splitlines())
    assert lines["segments"] == f"{lines['keys']} SQfp16"
