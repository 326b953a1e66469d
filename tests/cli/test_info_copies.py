import json
import shutil
from dataclasses import asdict
from pathlib import Path

from program import Run, make_photos

from indexes import Index


def test_copies_as_json_and_as_text(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    photos = make_photos(first, 3)
    second.mkdir()
    shutil.copy(photos[0], second)
    (more,) = make_photos(tmp_path / "third", 1, seed=9)
    index = tmp_path / "index"
    roots = [first, second, more.parent]
    assert run("index", *roots, "--index", index).returncode == 0
    shutil.rmtree(more.parent)
    document = json.loads(run("info", "--copies", "--index", index, "--json").stdout)
    assert document["photos"] == 4
    assert document["single"] == [*map(str, photos[1:]), str(more)]
    assert document["unplugged"] == [str(more)]
    assert [one["path"] for one in document["roots"]] == list(map(str, roots))
    assert [one["available"] for one in document["roots"]] == [True, True, False]
    assert [one["only_here"] for one in document["roots"]] == [2, 0, 1]
    with Index.open(index) as opened:
        assert document == json.loads(json.dumps(asdict(opened.redundancy())))
    text = run("info", "--copies", "--index", index).stdout
    assert "one copy only 3\n" in text
    assert "1 are on unplugged disks only" in text
    lines = [line.split() for line in text.splitlines() if str(tmp_path) in line]
    assert [line[4:] for line in lines][-3:] == [
        [str(first)],
        [str(second)],
        [str(more.parent), "(unplugged)"],
    ]


def test_copies_go_with_no_photo(run: Run, photos: Path) -> None:
    assert run("info", "--copies", "--skipped").returncode == 2
    assert run("info", "--copies", photos).returncode == 2
