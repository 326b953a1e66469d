import json
from pathlib import Path

from PIL import Image
from program import Run, command, make_photos

from indexes import Index


def test_the_command_gives_what_python_gives(run: Run, photos: Path, ready_home: Path) -> None:
    for odd in (False, True):
        options = ["pick", 7, *(["--odd"] if odd else [])]
        document = json.loads(run(*options, "--json").stdout)
        assert document.keys() == {"index", "results", "seconds"}
        results = document["results"]
        names = {"rank", "score", "photos", "path", "id", "width", "height", "taken", "missing"}
        assert results[0].keys() == names
        assert [result["rank"] for result in results] == list(range(1, 8))
        with Index.open(ready_home / "indexes" / "default") as index:
            picks = index.pick(7, odd=odd)
        assert [result["path"] for result in results] == [one.record.paths[0] for one in picks]
        assert [result["photos"] for result in results] == [one.photos for one in picks]
        zeros = run(*options, "-0").stdout.split("\0")
        assert zeros[:-1] == [result["path"] for result in results]
        lines = run(*options).stdout.splitlines()
        for line, result in zip(lines, results, strict=True):
            words = [f"{result['rank']}", f"{result['score']:.3f}", f"{result['photos']}"]
            assert line.split()[: 2 if odd else 3] == words[: 2 if odd else 3]
            assert line.endswith(result["path"])


def test_filters_and_a_number_by_default(run: Run, photos: Path) -> None:
    assert len(run("pick").stdout.splitlines()) == 10
    inside = run("pick", 50, "-0", "--in", photos / "other").stdout.split("\0")[:-1]
    assert len(inside) == 10
    assert {str(Path(path).parent) for path in inside} == {str(photos / "other")}
    none = run("pick", "--taken", "2019", "--json")
    assert (none.returncode, json.loads(none.stdout)["results"]) == (0, [])
    assert "No photo matches" in none.stderr
    assert run("pick", 0).returncode == 2
    assert run("pick", "--in", photos.parent / "elsewhere").returncode == 1


def test_a_blank_is_odd_and_a_copy_is_counted(run: Run, tmp_path: Path, ready_home: Path) -> None:
    for photo in make_photos(tmp_path / "photos", 1):
        with Image.open(photo) as image:
            for number in range(6):
                image.crop((0, 0, 150 + number, 120)).save(photo.with_name(f"{number}.png"))
        photo.unlink()
    checks = Image.new("RGB", (160, 120))
    checks.paste((255, 255, 255), (0, 0, 80, 120))
    checks.save(tmp_path / "photos" / "screen.png")
    checks.save(tmp_path / "photos" / "copy.png")
    index = tmp_path / "index"
    words = ["pick", 1, "--odd", "--index", index]
    assert command("index", tmp_path / "photos", "--index", index, home=ready_home).returncode == 0
    (line,) = run(*words).stdout.splitlines()
    assert "copy.png" in line or "screen.png" in line
    assert line.endswith("(+1 copy)")


def test_a_gallery_shows_the_photos_alone(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    process = run("pick", 4, "--gallery", page, "-0")
    assert (process.returncode, process.stdout.count("\0")) == (0, 4)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 4
    assert "<b>query</b>" not in text
    assert "Photos that stand for many" in text
    assert run("pick", "--gallery", tmp_path / "page.txt").returncode == 2
    absent = run("pick", 2, "--gallery", tmp_path / "absent" / "page.html")
    assert (absent.returncode, len(absent.stdout.splitlines())) == (1, 2)
    assert "cannot write the page" in absent.stderr


def test_an_empty_index_is_an_error(run: Run, tmp_path: Path) -> None:
    process = run("pick", "--index", tmp_path / "absent")
    assert process.returncode == 1
    assert process.stdout == ""
