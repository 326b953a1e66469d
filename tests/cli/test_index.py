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


def test_what_is_left_out_is_said(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 2)
    make_photos(tmp_path / "photos" / "@eaDir", 1)
    make_photos(tmp_path / "photos" / "raw", 1)
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index", "--json"]
    ended = run(*words, "--exclude", "raw", "--exclude", "*.png", "--workers", 1)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["embedded"] == 2
    assert "left out, hidden: 1 (@eaDir)" in ended.stderr
    assert "left out, excluded: 1 (raw)" in ended.stderr


def test_refused_files_are_tried_again_on_request(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 1)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index"]
    for more in ([], [], ["--retry"]):
        ended = run(*words, *more)
        assert ended.returncode == 3
        assert "refused" in ended.stderr
