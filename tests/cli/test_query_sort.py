"""`query --sort` and `--reverse`: the same results in another order."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from program import Run, command, make_photos
from screen import on_a_terminal

from indexes import Index

DATES = {"photo 00.jpg": "2021", "photo 01.jpg": "2019", "photo 03.jpg": "2020"}
"""Years of capture; the other two photos have none."""


@pytest.fixture(scope="module")
def dated(ready_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Five photos, three of them with a date and one with a copy, and their index."""
    folder = tmp_path_factory.mktemp("dated")
    for photo in make_photos(folder / "photos", 5):
        if photo.name in DATES:
            exif = Image.Exif()
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = (
                f"{DATES[photo.name]}:05:01 12:00:00"
            )
            with Image.open(photo) as image:
                image.save(photo, exif=exif, quality=92)
    shutil.copy(folder / "photos" / "photo 01.jpg", folder / "photos" / "z.jpg")
    index = folder / "index"
    assert command("index", folder / "photos", "--index", index, home=ready_home).returncode == 0
    return folder / "photos" / "photo 01.jpg", index


def paths(run: Run, dated: tuple[Path, Path], *options: object) -> list[str]:
    photo, index = dated
    process = run("query", photo, "--index", index, "--json", *options)
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout)["results"]
    assert [result["rank"] for result in results] == list(range(1, len(results) + 1))
    names = [Path(result["path"]).name for result in results]
    zeros = run("query", photo, "--index", index, "-0", *options).stdout.split("\0")
    assert [Path(path).name for path in zeros[:-1]] == names
    return names


def test_photos_by_date_with_those_without_one_last(run: Run, dated: tuple[Path, Path]) -> None:
    default = paths(run, dated)
    without = [name for name in default if name in ("photo 02.jpg", "photo 04.jpg")]
    by_date = paths(run, dated, "--sort", "taken")
    assert set(by_date[:2]) == {"photo 01.jpg", "z.jpg"}
    assert by_date[2:] == ["photo 03.jpg", "photo 00.jpg", *without]
    backwards = paths(run, dated, "--sort", "taken", "--reverse")
    assert backwards == ["photo 00.jpg", "photo 03.jpg", *by_date[:2], *without]


def test_the_order_comes_after_the_cut(run: Run, dated: tuple[Path, Path]) -> None:
    default = paths(run, dated, "-k", 4)
    assert paths(run, dated, "-k", 4, "--sort", "path") == sorted(default)
    assert paths(run, dated, "-k", 4, "--sort", "path", "--reverse") == sorted(default)[::-1]
    assert paths(run, dated, "-k", 4, "--reverse") == default[::-1]
    assert set(paths(run, dated, "-k", 4, "--sort", "score")) == set(default)
    photo, index = dated
    with Index.open(index) as opened:
        answer = opened.search(photo, 4, fold=False).sorted("path", reverse=True)
        assert [Path(r.record.paths[0]).name for r in answer] == sorted(default)[::-1]


def test_copies_stay_together_in_the_table_and_on_the_page(
    run: Run, dated: tuple[Path, Path], tmp_path: Path
) -> None:
    photo, index = dated
    words = ["query", photo, "--index", index, "--sort", "path", "--reverse"]
    lines = run(*words, "--gallery", tmp_path / "page.html").stdout.splitlines()
    assert [re.findall(r"photo \d\d|z", line)[-1] for line in lines] == [
        f"photo 0{number}" for number in (4, 3, 2, 1, 0)
    ]
    assert lines[3].endswith("(+1 copy)")
    page = (tmp_path / "page.html").read_text()
    names = re.findall(r"</b> (photo \d\d)\.jpg", page.partition("</figure>")[2])
    assert names == [f"photo 0{number}" for number in (4, 3, 2, 1, 0)]


def test_a_sorted_table_has_no_line_for_chance(ready_home: Path, photos: Path, many: Path) -> None:
    photo = photos / "other" / "photo 04.jpg"
    words = ["query", photo, "--index", many, "-k", 5]
    assert "may be chance" in on_a_terminal(ready_home, *words).text
    by_path = on_a_terminal(ready_home, *words, "--sort", "path", "--preview").text
    assert "may be chance" not in by_path
    names = re.findall(r"photo \d\d\.jpg", by_path)[:5]
    assert len(names) == 5


def test_an_unknown_order_is_wrong_usage(run: Run, dated: tuple[Path, Path]) -> None:
    photo, index = dated
    process = run("query", photo, "--index", index, "--sort", "colour")
    assert process.returncode == 2
    assert "write taken, score or path" in process.stderr
    assert run("query", "-i", "--index", index, "--sort", "path").returncode == 2
