"""What a user can cause ends as one line what, one line what next, and the documented code."""

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


def failed(ended: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    told = [line for line in ended.stderr.splitlines() if line.startswith(("error:", "next:"))]
    assert [line.split(":")[0] for line in told] == ["error", "next"], ended.stderr
    for word in words:
        assert word in "\n".join(told)


def test_no_such_folder(run: Run) -> None:
    failed(run("index", "/no/such/folder"), 1, "/no/such/folder")
    failed(run("train", "/no/such/folder"), 1, "/no/such/folder")


def test_a_folder_without_pictures(run: Run, made: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    index = tmp_path / ".index"
    shutil.copytree(made / "indexes" / "default", index)
    failed(run("index", tmp_path, "--index", index), 1, str(tmp_path))
    failed(run("index", tmp_path, "--index", "fresh"), 1, str(tmp_path))
    assert "fresh" not in run("query", "x.jpg", "--index", "absent").stderr
    failed(run("train", tmp_path), 1, "0 readable photos")


def test_one_photo_is_too_few_to_train_on(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path, 1)
    failed(run("train", tmp_path, "--name", "lonely"), 1, "1 readable photos", "at least 2")


def test_names_that_are_not_there_are_answered_with_those_that_are(run: Run, photos: Path) -> None:
    failed(run("index", photos, "--encoder", "nix"), 1, "nix", "default")
    failed(run("query", "x.jpg", "--index", "nix"), 1, "nix", "default")
    failed(run("info", "--index", "nix"), 1, "nix", "default")


def test_the_starter_is_not_overwritten(run: Run, photos: Path) -> None:
    failed(run("train", photos, "--name", "starter"), 2, "comes with the program", "--name")


def test_nothing_is_made_in_place_of_photos(run: Run, tmp_path: Path) -> None:
    photos = tmp_path / "disk" / "photos"
    before = make_photos(photos, 3)
    (photos / "album.html").write_text("mine")
    for place in (photos, tmp_path / "disk"):
        failed(run("index", photos, "--index", place), 2, "a folder of its own", "--index")
    failed(run("train", photos, "--name", photos, "--epochs", 0), 2, "not replaced", "--name")
    photo = before[0]
    assert run("query", photo, "--gallery", photo).returncode == 2
    assert run("evaluate", "--plot", photo).returncode == 2
    assert sorted(photos.iterdir()) == sorted([*before, photos / "album.html"])
    assert photo.read_bytes().startswith(b"\xff\xd8")


def test_an_index_of_nothing_leaves_what_else_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("words")
    index = tmp_path / "index"
    index.mkdir()
    failed(run("index", tmp_path / "photos", "--index", index), 1, "no photos")
    assert not index.exists()
    failed(run("index", tmp_path / "photos", "--index", tmp_path / "b" / "c"), 1, "no photos")
    assert not (tmp_path / "b" / "c").exists()


def test_an_index_that_is_empty(run: Run, made: Path, tmp_path: Path) -> None:
    paths = make_photos(tmp_path / "photos", 2)
    index = tmp_path / "index"
    assert run("index", tmp_path / "photos", "--index", index).returncode == 0
    paths[0].unlink()
    paths[1].write_text("no picture any more")
    assert run("index", tmp_path / "photos", "--index", index).returncode == 3
    failed(run("query", made, "--index", index), 1, "empty")


def test_a_query_that_is_no_picture(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("words")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(b"\xff\xd8\xff\xe0 and no more")
    failed(run("query", text), 1, "notes.txt")
    failed(run("query", cut), 1, "cut.jpg")
    failed(run("query", tmp_path / "absent.jpg"), 1, "absent.jpg")
    failed(run("query", tmp_path), 1, str(tmp_path))
    failed(run("query", "-", input=""), 1, "-")


def test_a_home_that_cannot_be_written(run: Run, photos: Path, made: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    failed(run("train", photos, home=blocked / "home"), 1, "MOCOSEARCH_HOME")
    encoder = made / "encoders" / "default"
    failed(run("index", photos, "--encoder", encoder, home=blocked / "home"), 1)


def test_no_room_on_the_disk(made: Path, photos: Path, run: Run, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(made / "indexes" / "default", index)
    before = (index / "data.mdb").stat().st_size
    make_photos(tmp_path / "new", 40, seed=7)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, before))

    ended = run("index", tmp_path / "new", "--index", index, preexec_fn=limit)
    failed(ended, 1, "room")
    answered = run("query", photos / "other" / "photo 00.jpg", "--index", index, "--paths")
    assert answered.stdout.splitlines()[0] == str(photos / "other" / "photo 00.jpg")
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
    ended = run(*words, cwd=photos)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_refused_files_are_listed_and_exit_with_3(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "photos" / "empty.png").write_bytes(b"")
    (tmp_path / "photos" / "notes.txt").write_text("words")
    ended = run("index", tmp_path / "photos", "--index", tmp_path / "index", "--json")
    assert ended.returncode == 3
    told = json.loads(ended.stdout)
    assert (told["embedded"], told["skipped"], told["not_pictures"]) == (3, 2, 1)
    assert "bad.jpg" in ended.stderr
    listed = run("info", "--index", tmp_path / "index", "--skipped").stdout
    assert "bad.jpg" in listed
    assert "empty.png: empty" in listed
    assert "notes.txt: not a picture" in listed


def interrupted(words: list[object], home: Path, when: str) -> subprocess.CompletedProcess[str]:
    """Send Ctrl-C once a line of progress says something."""
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
        said = process.stderr.read()
    return subprocess.CompletedProcess(words, process.returncode, "", said)


def test_an_interrupted_training_keeps_a_usable_encoder(
    photos: Path, tmp_path: Path, run: Run
) -> None:
    home = tmp_path / "home"
    words: list[object] = ["train", photos, "--epochs", 100000, "--size", 32]
    ended = interrupted(words, home, "loss")
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert (home / "encoders" / "default" / "card.json").is_file()
    assert run("index", photos, home=home).returncode == 0


def test_an_interrupted_index_keeps_what_is_committed(made: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "photos").mkdir()
    # Small files that take long to decode.
    Image.new("RGB", (4000, 3000), "teal").save(tmp_path / "plain.png")
    for number in range(60):
        content = (tmp_path / "plain.png").read_bytes() + bytes([number])
        (tmp_path / "photos" / f"{number}.png").write_bytes(content)
    index = tmp_path / "index"
    words: list[object] = ["index", tmp_path / "photos", "--index", index, "--workers", 1]
    ended = interrupted(words, made, "of 60")
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    kept = json.loads(run("info", "--index", index, "--json").stdout)["images"]
    again = json.loads(run("index", tmp_path / "photos", "--index", index, "--json").stdout)
    assert 0 < kept < 60
    assert kept + again["embedded"] == 60
    assert again["unchanged"] == kept


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        (">/dev/full", 1, "error: no disk space left"),
        (">&-", 1, "error: stdout is closed"),
        (">/dev/full 2>&-", 1, ""),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
    ],
)
def test_an_output_that_takes_nothing(
    made: Path, photos: Path, streams: str, code: int, said: str
) -> None:
    for more in ("--json", "--paths", ""):
        line = f'"$0" query "$1" {more} {streams}'
        ended = subprocess.run(
            ["bash", "-c", line, PROGRAM, photos / "other" / "photo 00.jpg"],
            env=environment(made),
            capture_output=True,
            text=True,
        )
        assert ended.returncode == code, ended.stderr
        assert ended.stderr.startswith(said)
        assert len(ended.stderr.splitlines()) == (2 if said else 0)
        assert bool(ended.stdout) == (code == 0)


def test_names_in_errors_do_not_reach_the_terminal_as_they_are(run: Run, tmp_path: Path) -> None:
    failed(run("query", "no\x1b[2J such\nfile.jpg"), 1, r"no\x1b[2J such\nfile.jpg")
    make_photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "bad\x1b[2J\none.jpg").write_bytes(b"\xff\xd8\xff")
    told = run("index", tmp_path / "photos", "--index", tmp_path / "index")
    assert r"bad\x1b[2J\none.jpg" in told.stderr
    (line,) = run("info", "--skipped", "--index", tmp_path / "index").stdout.splitlines()
    assert r"bad\x1b[2J\none.jpg" in line


def test_photos_are_never_written(run: Run, photos: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (os.stat(p).st_mtime_ns, os.stat(p).st_size) for p in photos.rglob("*")}

    before = state()
    run("index", photos)
    run("query", photos / "other" / "photo 00.jpg")
    assert state() == before
