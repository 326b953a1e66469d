import json
from pathlib import Path

from program import Run, make_photos


def test_a_second_run_encodes_only_what_is_new(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 5)
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index", "--json"]
    first = json.loads(run(*words).stdout)
    assert first.keys() == {
        "embedded",
        "unchanged",
        "moved",
        "deleted",
        "refused",
        "not_pictures",
        "seconds",
    }
    assert (first["embedded"], first["unchanged"]) == (5, 0)
    make_photos(tmp_path / "photos" / "more", 2, seed=9)
    (tmp_path / "photos" / "photo 01.jpg").rename(tmp_path / "photos" / "renamed.jpg")
    (tmp_path / "photos" / "photo 02.jpg").unlink()
    second = json.loads(run(*words).stdout)
    assert (second["embedded"], second["unchanged"]) == (2, 3)
    assert (second["moved"], second["deleted"]) == (1, 1)


def test_a_copied_index_answers_without_the_home(run: Run, made: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(made / "indexes" / "default", tmp_path / "elsewhere")
    photo = next(iter(sorted(tmp_path.parent.parent.rglob("photo 04.jpg"))))
    answered = run("query", photo, "--index", tmp_path / "elsewhere", "--paths", home=tmp_path)
    assert answered.returncode == 0
    assert len(answered.stdout.splitlines()) == 10
