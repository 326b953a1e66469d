"""Errors that a user can cause: one line of error, one line of advice, and the exit code."""

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from program import PROGRAM, Run, environment, make_photos


def assert_fails(outcome: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert outcome.returncode == code, outcome.stderr
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr
    lines = [line for line in outcome.stderr.splitlines() if line.startswith(("error:", "next:"))]
    assert [line.split(":")[0] for line in lines] == ["error", "next"], outcome.stderr
    for word in words:
        assert word in "\n".join(lines)


def test_no_such_folder(run: Run) -> None:
    assert_fails(run("index", "/no/such/folder"), 1, "/no/such/folder")
    assert_fails(run("train", "/no/such/folder"), 1, "/no/such/folder")


@pytest.mark.parametrize("words", [("index", "."), ("train", "PHOTOS")])
def test_the_current_folder_was_removed(
    words: tuple[str, str], ready_home: Path, photos: Path, tmp_path: Path
) -> None:
    line = [PROGRAM, words[0], words[1].replace("PHOTOS", str(photos))]
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    outcome = subprocess.run(
        ["sh", "-c", script, "sh", *line],
        cwd=tmp_path,
        env=environment(ready_home),
        capture_output=True,
        text=True,
    )
    assert_fails(outcome, 1, "the current folder no longer exists")


def test_a_folder_without_pictures(run: Run, ready_home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    index = tmp_path / ".index"
    shutil.copytree(ready_home / "indexes" / "default", index)
    assert_fails(run("index", tmp_path, "--index", index), 1, str(tmp_path))
    assert_fails(run("index", tmp_path, "--index", "fresh"), 1, str(tmp_path))
    assert "fresh" not in run("query", "x.jpg", "--index", "absent").stderr
    assert_fails(run("train", tmp_path), 1, "0 readable photos")


def test_one_photo_is_too_few_to_train_on(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path, 1)
    assert_fails(run("train", tmp_path, "--name", "lonely"), 1, "1 readable photos", "at least 2")


def test_an_unknown_name_lists_the_existing_ones(run: Run, photos: Path) -> None:
    assert_fails(run("index", photos, "--encoder", "nix"), 1, "nix", "default")
    assert_fails(run("query", "x.jpg", "--index", "nix"), 1, "nix", "default")
    assert_fails(run("info", "--index", "nix"), 1, "nix", "default")


def test_the_starter_is_not_overwritten(run: Run, photos: Path) -> None:
    assert_fails(run("train", photos, "--name", "starter"), 2, "comes with the program", "--name")


def test_no_output_is_written_over_photos(run: Run, tmp_path: Path) -> None:
    photos = tmp_path / "disk" / "photos"
    before = make_photos(photos, 3)
    (photos / "album.html").write_text("mine")
    for place in (photos, tmp_path / "disk"):
        assert_fails(run("index", photos, "--index", place), 2, "a folder of its own", "--index")
    assert_fails(run("train", photos, "--name", photos, "--epochs", 0), 2, "not replaced", "--name")
    photo = before[0]
    assert run("query", photo, "--gallery", photo).returncode == 2
    assert run("evaluate", "--plot", photo).returncode == 2
    assert sorted(photos.iterdir()) == sorted([*before, photos / "album.html"])
    assert photo.read_bytes().startswith(b"\xff\xd8")


def test_an_index_without_photos_is_discarded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("words")
    index = tmp_path / "index"
    index.mkdir()
    assert_fails(run("index", tmp_path / "photos", "--index", index), 1, "no photos")
    assert not index.exists()
    assert_fails(run("index", tmp_path / "photos", "--index", tmp_path / "b" / "c"), 1, "no photos")
    assert not (tmp_path / "b" / "c").exists()


def test_a_query_of_an_empty_index(run: Run, ready_home: Path, tmp_path: Path) -> None:
    paths = make_photos(tmp_path / "photos", 2)
    index = tmp_path / "index"
    assert run("index", tmp_path / "photos", "--index", index).returncode == 0
    paths[0].unlink()
    paths[1].write_text("not a picture any more")
    assert run("index", tmp_path / "photos", "--index", index).returncode == 3
    assert_fails(run("query", ready_home, "--index", index), 1, "empty")


def test_a_query_that_is_not_a_picture(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("words")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(b"\xff\xd8\xff\xe0 and no more")
    assert_fails(run("query", text), 1, "notes.txt")
    assert_fails(run("query", cut), 1, "cut.jpg")
    assert_fails(run("query", tmp_path / "absent.jpg"), 1, "absent.jpg")
    assert_fails(run("query", tmp_path), 1, str(tmp_path))
    assert_fails(run("query", "-", input=""), 1, "-")


def test_a_home_that_cannot_be_written(
    run: Run, photos: Path, ready_home: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert_fails(run("train", photos, home=blocked / "home"), 1, "MOCOSEARCH_HOME")
    encoder = ready_home / "encoders" / "default"
    assert_fails(run("index", photos, "--encoder", encoder, home=blocked / "home"), 1)


def test_a_full_disk(ready_home: Path, photos: Path, run: Run, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(ready_home / "indexes" / "default", index)
    before = (index / "data.mdb").stat().st_size
    make_photos(tmp_path / "new", 40, seed=7)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, before))

    outcome = run("index", tmp_path / "new", "--index", index, preexec_fn=limit)
    assert_fails(outcome, 1, "disk space")
    query = run("query", photos / "other" / "photo 00.jpg", "--index", index, "--paths")
    assert query.stdout.splitlines()[0] == str(photos / "other" / "photo 00.jpg")
    again = run("index", tmp_path / "new", "--index", index, "--json")
    assert json.loads(again.stdout)["embedded"] == 40


@pytest.mark.parametrize(
    "words",
    [
        ["train", ".", "--for", "soon"],
        ["train", ".", "--for", "1m", "--epochs", "2"],
        ["train", ".", "--recipe", "v9"],
        ["train", ".", "--arch", "vgg"],
        ["query", "x.jpg", "-k", "0"],
        ["query"],
        ["mislaid"],
        ["query", "x.jpg", "--no-such-option"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, words: list[str], photos: Path) -> None:
    outcome = run(*words, cwd=photos)
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def test_skipped_files_are_listed_and_exit_with_3(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "photos" / "empty.png").write_bytes(b"")
    (tmp_path / "photos" / "notes.txt").write_text("words")
    outcome = run("index", tmp_path / "photos", "--index", tmp_path / "index", "--json")
    assert outcome.returncode == 3
    counts = json.loads(outcome.stdout)
    assert (counts["embedded"], counts["skipped"], counts["not_pictures"]) == (3, 2, 1)
    assert "bad.jpg" in outcome.stderr
    skipped = run("info", "--index", tmp_path / "index", "--skipped").stdout
    assert "bad.jpg" in skipped
    assert "empty.png: empty" in skipped
    assert "notes.txt: not a picture" in skipped


def interrupt(words: list[object], home: Path, when: str) -> subprocess.CompletedProcess[str]:
    """Run a command and send Ctrl-C when a line of its progress contains `when`."""
    with subprocess.Popen(
        [str(PROGRAM), *map(str, words)],
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert any(when in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    return subprocess.CompletedProcess(words, process.returncode, "", errors)


def test_an_interrupted_training_keeps_a_usable_encoder(
    photos: Path, tmp_path: Path, run: Run
) -> None:
    home = tmp_path / "home"
    words: list[object] = ["train", photos, "--epochs", 100000, "--size", 32, "--arch", "resnet10"]
    outcome = interrupt(words, home, "loss")
    assert outcome.returncode == 130, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert (home / "encoders" / "default" / "card.json").is_file()
    assert run("index", photos, home=home).returncode == 0


def test_an_interrupted_index_keeps_its_commits(ready_home: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "photos").mkdir()
    # Small files that are slow to decode.
    Image.new("RGB", (4000, 3000), "teal").save(tmp_path / "plain.png")
    for number in range(60):
        content = (tmp_path / "plain.png").read_bytes() + bytes([number])
        (tmp_path / "photos" / f"{number}.png").write_bytes(content)
    index = tmp_path / "index"
    words: list[object] = ["index", tmp_path / "photos", "--index", index, "--workers", 1]
    outcome = interrupt(words, ready_home, "of 60")
    assert outcome.returncode == 130, outcome.stderr
    assert "Traceback" not in outcome.stderr
    images = json.loads(run("info", "--index", index, "--json").stdout)["images"]
    again = json.loads(run("index", tmp_path / "photos", "--index", index, "--json").stdout)
    assert 0 < images < 60
    assert images + again["embedded"] == 60
    assert again["unchanged"] == images


@pytest.mark.parametrize(
    ("streams", "code", "message"),
    [
        (">/dev/full", 1, "error: no disk space left"),
        (">&-", 1, "error: stdout is closed"),
        (">/dev/full 2>&-", 1, ""),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
    ],
)
def test_an_output_that_cannot_be_written(
    ready_home: Path, photos: Path, streams: str, code: int, message: str
) -> None:
    for more in ("--json", "--paths", ""):
        line = f'"$0" query "$1" {more} {streams}'
        outcome = subprocess.run(
            ["bash", "-c", line, PROGRAM, photos / "other" / "photo 00.jpg"],
            env=environment(ready_home),
            capture_output=True,
            text=True,
        )
        assert outcome.returncode == code, outcome.stderr
        assert outcome.stderr.startswith(message)
        assert len(outcome.stderr.splitlines()) == (2 if message else 0)
        assert bool(outcome.stdout) == (code == 0)


def test_control_characters_in_names_are_escaped(run: Run, tmp_path: Path) -> None:
    assert_fails(run("query", "no\x1b[2J such\nfile.jpg"), 1, r"no\x1b[2J such\nfile.jpg")
    make_photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "bad\x1b[2J\none.jpg").write_bytes(b"\xff\xd8\xff")
    outcome = run("index", tmp_path / "photos", "--index", tmp_path / "index")
    assert r"bad\x1b[2J\none.jpg" in outcome.stderr
    (line,) = run("info", "--skipped", "--index", tmp_path / "index").stdout.splitlines()
    assert r"bad\x1b[2J\none.jpg" in line


def test_photos_are_never_written(run: Run, photos: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (os.stat(p).st_mtime_ns, os.stat(p).st_size) for p in photos.rglob("*")}

    before = state()
    run("index", photos)
    run("query", photos / "other" / "photo 00.jpg")
    assert state() == before
