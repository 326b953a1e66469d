"""What failed when the reports about other programs were tried on `query`."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from damage import damage
from light import draw
from light_index import light_index
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational
from program import PROGRAM, Run, command

from indexes import Index


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of some photos; tests must not change it."""
    base = tmp_path_factory.mktemp("small")
    light_index(base / "index", base / "my photos", 3)
    return base


@pytest.fixture
def run(small: Path, home: Path) -> Run:
    """Run the program with the small index."""

    def runs(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        options.setdefault("index", small / "index")
        return command(*words, "--index", options.pop("index"), home=home, **options)

    return runs


def photo(small: Path, number: int = 0) -> Path:
    return small / "my photos" / f"00{number}.png"


def test_file_urls_are_paths(run: Run, small: Path) -> None:
    file = photo(small, 1)
    for url in (file.as_uri(), file.as_uri().replace("file://", "file://localhost")):
        found = run("query", url, f"--in={file.parent.as_uri()}", "--paths", "-k", 1)
        assert (found.returncode, found.stdout) == (0, f"{file}\n")
    talk = run("query", "-i", "-k", 1, input=f"{file.as_uri()}\nfile:///no%20such.png\n")
    assert str(file) in talk.stdout
    assert "cannot read /no such.png: no such file\ncheck the spelling" in talk.stderr


def test_a_missing_file_and_a_damaged_one(run: Run, tmp_path: Path) -> None:
    missing = run("query", tmp_path / "none.jpg")
    assert missing.returncode == 1
    assert "no such file\nnext:  check the spelling" in missing.stderr
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    damaged = run("query", tmp_path / "bad.jpg")
    assert damaged.returncode == 1
    assert "next:  name a JPEG" in damaged.stderr


@pytest.mark.parametrize("place", ["none/page.html", "file/page.html", "page.html/"])
def test_a_page_that_cannot_be_written_loses_no_answer(
    run: Run, small: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "page.html").mkdir()
    shown = run("query", photo(small), "--gallery", f"{tmp_path}/{place}")
    assert shown.returncode == 1
    assert str(photo(small)) in shown.stdout.splitlines()[0]
    assert "cannot write the page" in shown.stderr


def test_unknown_folders_and_formats_are_reported(run: Run, small: Path) -> None:
    nope = run("query", photo(small), "--in", "/nope")
    assert (nope.returncode, nope.stdout) == (1, "")
    assert "/nope contains no photo of this index" in nope.stderr
    assert str(photo(small).parent) in nope.stderr
    jpge = run("query", photo(small), "--format", "jpge")
    assert (jpge.returncode, jpge.stdout) == (2, "")
    assert "did you mean jpeg?" in jpge.stderr


def test_existing_files_come_first_and_missing_ones_are_marked(
    run: Run, small: Path, tmp_path: Path
) -> None:
    index = shutil.copytree(small / "index", tmp_path / "index")
    before, after = tmp_path / "a", tmp_path / "b"
    draw(before, 2, 10)
    with Index.open(index, writable=True) as opened:
        opened.sync(before, workers=1)
        before.rename(after)
        counts = opened.sync(after, workers=1)
        assert counts.moved == 2
        assert len(opened) == 5
        assert opened.info()["images"] == 7
    (after / "011.png").unlink()
    found = json.loads(run("query", after / "010.png", "--json", index=index).stdout)["results"]
    shown = [(Path(result["path"]), result["missing"]) for result in found]
    assert shown[:2] == [(after / "010.png", False), (before / "010.png", True)]
    assert {missing for path, missing in shown if path.name == "011.png"} == {True}
    table = run("query", after / "010.png", index=index).stdout.splitlines()
    assert table[0].endswith(f"{after / '010.png'}  (+1 copy)")
    assert [line.endswith("(missing)") for line in table if "011.png" in line] == [True]
    facts = json.loads(run("info", before / "010.png", "--json", index=index).stdout)[0]
    assert facts["paths"] == [str(after / "010.png"), str(before / "010.png")]
    assert facts["missing"] == [str(before / "010.png")]


def test_more_results_begin_with_the_same_ones(run: Run, small: Path) -> None:
    lists = [run("query", photo(small), "-k", k, "--paths").stdout for k in (1, 2, 30)]
    assert lists[2].startswith(lists[1])
    assert lists[1].startswith(lists[0])
    assert len(lists[2].splitlines()) == 3


def test_a_damaged_encoder_answers_nothing_and_is_restored(
    run: Run, small: Path, tmp_path: Path
) -> None:
    index = shutil.copytree(small / "index", tmp_path / "index")
    before = run("query", photo(small), index=index).stdout
    damage(index, "encoder", b"weights")
    broken = run("query", photo(small), index=index)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "verify --repair" in broken.stderr
    draw(tmp_path / "more", 1, 20)
    refused = run("index", tmp_path / "more", index=index)
    assert refused.returncode == 1
    assert "verify --repair" in refused.stderr
    with Index.open(index) as opened:
        assert len(opened) == 3
    repaired = run("verify", "--repair", "--encoder", small / "index-encoder", index=index)
    assert (repaired.returncode, repaired.stdout) == (0, f"{index}: no damage found\n")
    assert run("query", photo(small), index=index).stdout == before


def test_the_equator_is_shown(run: Run, small: Path, tmp_path: Path) -> None:
    index = shutil.copytree(small / "index", tmp_path / "index")
    zero = tuple(IFDRational(0) for _ in range(3))
    exif = Image.Exif()
    tags = ExifTags.GPS
    exif[ExifTags.IFD.GPSInfo] = {
        tags.GPSLatitude: zero,
        tags.GPSLongitude: (IFDRational(12), IFDRational(30), IFDRational(0)),
        tags.GPSLongitudeRef: "E",
    }
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "photos" / "sea.jpg", exif=exif)
    with Index.open(index, writable=True) as opened:
        opened.sync(tmp_path / "photos", workers=1)
    shown = run("info", tmp_path / "photos" / "sea.jpg", index=index).stdout
    assert "latitude      0.0\n" in shown
    assert "longitude     12.5\n" in shown


@pytest.mark.skipif(os.name == "nt", reason="no such limit here")
def test_a_query_with_little_address_space(small: Path, home: Path) -> None:
    line = 'ulimit -v 6000000; exec "$0" query "$1" --index "$2" --paths'
    words = [PROGRAM, photo(small), small / "index"]
    env = {**os.environ, "MOCOSEARCH_HOME": str(home)}
    shown = subprocess.run(["bash", "-c", line, *words], env=env, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[0] == str(photo(small))
