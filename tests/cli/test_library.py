import json
import shutil
from pathlib import Path

import pytest
from program import Run, command

pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def built(once, ready_home: Path, photos: Path) -> Path:
    """A library of three shards; tests must not change it."""

    def make(folder: Path) -> None:
        words = ("library", "plan", photos, "--library", folder / "library", "--shards", 3)
        planned = command(*words, home=ready_home)
        assert planned.returncode == 0, planned.stderr
        assert len(planned.stdout.splitlines()) == 3
        done = command("library", "build", "--library", folder / "library", home=ready_home)
        assert done.returncode == 0, done.stderr

    return once("library", make) / "library"


@pytest.fixture
def incomplete(built: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    shutil.copytree(built, folder)
    shutil.rmtree(folder / "shards" / "00001")
    return folder


def test_a_library_answers_in_place_of_an_index(run: Run, built: Path, photos: Path) -> None:
    image = photos / "other" / "photo 03.jpg"
    some = json.loads(run("query", image, "--index", built, "--json").stdout)["results"]
    same = json.loads(run("query", image, "--json").stdout)["results"]
    assert [one["path"] for one in some] == [one["path"] for one in same]
    info = json.loads(run("info", "--index", built, "--json").stdout)
    assert (info["keys"], info["shards"], info["unavailable"]) == (30, 3, {})
    assert run("info", image, "--index", built).returncode == 0
    assert run("pick", 3, "--index", built).stdout.count(".jpg") == 3
    redundancy = json.loads(run("info", "--copies", "--index", built, "--json").stdout)
    assert redundancy["photos"] == 30
    verified = json.loads(run("verify", "--index", built, "--json").stdout)
    assert verified == {"faults": [], "unchecked": [], "whole": True}
    assert run("duplicates", "--index", built, photos / "other").returncode == 0


def test_a_library_is_evaluated(trained_home: Path, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    for words in (("plan", photos, "--shards", 2), ("build",)):
        done = command("library", *words, "--library", folder, home=trained_home, fork=False)
        assert done.returncode == 0, done.stderr
    words = ("evaluate", "--classes", "--index", folder, "--json")
    figures = json.loads(command(*words, home=trained_home, fork=False).stdout)
    assert figures["photos"] == 30


def test_a_library_is_exported(run: Run, built: Path, tmp_path: Path) -> None:
    exported = run("export", tmp_path / "files", "--index", built)
    assert exported.returncode == 0, exported.stderr
    lines = (tmp_path / "files" / "records.jsonl").read_text().splitlines()
    assert len(lines) == 30


def test_a_missing_shard_is_named_and_the_exit_code_is_3(
    run: Run, incomplete: Path, photos: Path, tmp_path: Path
) -> None:
    image = photos / "other" / "photo 03.jpg"
    index = ("--index", incomplete)
    for words in (
        ("query", image, *index),
        ("info", *index),
        ("export", tmp_path / "files", *index),
        ("duplicates", *index),
    ):
        done = run(*words)
        assert done.returncode == 3, done.stderr
        assert "shard 00001 is left out: it is not built yet" in done.stderr
    assert json.loads(run("query", image, *index, "--json").stdout)["results"]
    verified = run("verify", *index)
    assert verified.returncode == 1
    assert "shard 00001" in verified.stdout


def test_building_again_builds_what_is_missing(run: Run, incomplete: Path) -> None:
    name = ("--library", incomplete)
    status = json.loads(run("library", "status", *name, "--json").stdout)
    assert [shard["state"] for shard in status["shards"]] == ["built", "planned", "built"]
    done = json.loads(run("library", "build", *name, "--shard", 1, "--json").stdout)
    assert [row["shard"] for row in done["shards"]] == ["00001"]
    assert "every shard is built" in run("library", "build", *name).stderr
    shown = run("library", "status", *name)
    assert shown.stdout.count("built") == 3


def test_planning_again_and_merging(run: Run, incomplete: Path, photos: Path) -> None:
    name = ("--library", incomplete)
    assert run("library", "build", *name).returncode == 0
    again = json.loads(run("library", "plan", photos, *name, "--json").stdout)
    assert (again["new"], again["changed"], again["shards"]) == (0, 0, [])
    merged = run("library", "merge", *name)
    assert (merged.returncode, merged.stdout) == (0, "00003\n")
    assert json.loads(run("info", "--index", incomplete, "--json").stdout)["keys"] == 30
    assert "nothing to merge" in run("library", "merge", *name).stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("build", "--library", "./nowhere"), 1),
        (("build", "--library", "LIBRARY", "--shard", "7"), 1),
        (("plan", "./nowhere", "--library", "LIBRARY"), 1),
        (("plan", "PHOTOS", "--library", "PHOTOS"), 2),
    ],
)
def test_errors_are_two_lines(
    run: Run, built: Path, photos: Path, words: tuple[str, ...], code: int
) -> None:
    places = {"LIBRARY": str(built), "PHOTOS": str(photos)}
    done = run("library", *(places.get(word, word) for word in words))
    assert (done.returncode, done.stdout) == (code, "")
    lines = done.stderr.splitlines()
    assert [line[:7] for line in lines] == ["error: ", "next:  "]
