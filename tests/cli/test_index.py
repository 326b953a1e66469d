import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from program import PROGRAM, Run, environment, make_photos

from cli import index as index_command
from indexes.sync import update
from mocosearch.encoder.card import fingerprint
from mocosearch.errors import StorageFailed
from mocosearch.home import path_of


def test_a_second_run_encodes_only_what_is_new(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 5)
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index", "--json"]
    first = json.loads(run(*words).stdout)
    assert first.keys() == {
        "embedded",
        "unchanged",
        "moved",
        "deleted",
        "skipped",
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


def test_a_copied_index_answers_in_another_home(run: Run, ready_home: Path, tmp_path: Path) -> None:
    shutil.copytree(ready_home / "indexes" / "default", tmp_path / "elsewhere")
    photo = next(iter(sorted(tmp_path.parent.parent.rglob("photo 04.jpg"))))
    query = run("query", photo, "--index", tmp_path / "elsewhere", "--paths", home=tmp_path)
    assert query.returncode == 0
    assert len(query.stdout.splitlines()) == 10


LARGEST = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:])
kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(kilobytes, file=sys.stderr)
sys.exit(ended.returncode)
"""
"""Runs a program and prints the resident memory of its largest process, children included."""


def test_every_hostile_and_camera_file_is_counted_once(
    run: Run, data: Path, tmp_path: Path
) -> None:
    folders = [data / "hostile", data / "camera"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("no hostile files among the shared pictures")
    index = tmp_path / "index"
    words = ["index", *map(str, folders), "--index", str(index), "--json"]
    outcome = subprocess.run(
        [sys.executable, "-c", LARGEST, str(PROGRAM), *words],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert outcome.returncode == 3, outcome.stderr
    assert int(outcome.stderr.splitlines()[-1]) < 2_000_000
    counts = json.loads(outcome.stdout)
    files = sum(path.is_file() for folder in folders for path in folder.rglob("*"))
    assert counts["embedded"] + counts["skipped"] + counts["not_pictures"] == files
    assert counts["embedded"] > files / 2
    info = json.loads(run("info", "--skipped", "--json", "--index", index).stdout)
    assert len(info["skipped_files"]) == counts["skipped"] + counts["not_pictures"]


def test_files_left_out_are_reported(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 2)
    make_photos(tmp_path / "photos" / "@eaDir", 1)
    make_photos(tmp_path / "photos" / "raw", 1)
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index", "--json"]
    outcome = run(*words, "--exclude", "raw", "--exclude", "*.png", "--workers", 1)
    assert outcome.returncode == 0
    assert json.loads(outcome.stdout)["embedded"] == 2
    assert "left out, hidden: 1 (@eaDir)" in outcome.stderr
    assert "left out, excluded: 1 (raw)" in outcome.stderr


def test_skipped_files_are_listed_again_in_each_run(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 1)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index"]
    for more in ([], [], ["--retry"]):
        outcome = run(*words, *more)
        assert outcome.returncode == 3
        assert "skipped" in outcome.stderr


def test_a_folder_moves_is_missing_and_is_removed(run: Run, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    make_photos(one, 3)
    make_photos(two, 2, seed=4)
    index = ["--index", tmp_path / "index"]
    assert run("index", one, two, *index).returncode == 0
    one.rename(tmp_path / "elsewhere")
    missing = run("index", one, two, *index)
    assert missing.returncode == 3
    assert f"{one} is missing or empty: its photos stay in the index" in missing.stderr
    moved = run("index", "--move", one, tmp_path / "elsewhere", *index, "--json")
    assert moved.returncode == 0, moved.stderr
    again = json.loads(run("index", tmp_path / "elsewhere", two, *index, "--json").stdout)
    assert (again["unchanged"], again["embedded"], again["deleted"]) == (5, 0, 0)
    assert json.loads(run("index", "--remove", two, *index, "--json").stdout)["deleted"] == 2
    info = json.loads(run("info", *index, "--json").stdout)
    assert (info["images"], info["roots"]) == (3, [str(tmp_path / "elsewhere")])
    (tmp_path / "elsewhere").rename(one)
    pruned = run("index", tmp_path / "elsewhere", *index, "--prune", "--json")
    assert json.loads(pruned.stdout)["deleted"] == 3


def test_the_kind_of_index(run: Run, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 12)
    index = ["--index", tmp_path / "index"]
    assert run("index", tmp_path / "photos", *index, "--kind", "Nonsense7").returncode == 2
    assert not (tmp_path / "index").exists()
    assert run("index", tmp_path / "photos", *index, "--kind", "HNSW8").returncode == 0
    assert json.loads(run("info", *index, "--json").stdout)["kind"] == "HNSW8"
    results = run("query", photos[2], *index, "-k", 1, "--paths").stdout
    assert results.splitlines() == [str(photos[2])]
    rejected = run("index", "--kind", "Nonsense7", *index)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert "Nonsense7" in rejected.stderr
    assert json.loads(run("info", *index, "--json").stdout)["kind"] == "HNSW8"
    assert run("index", "--kind", "auto", *index).returncode == 0
    assert json.loads(run("info", *index, "--json").stdout)["kind"] == "SQfp16"


def another_encoder(home: Path, folder: Path) -> str:
    """The home's encoder with another fingerprint, which is returned."""
    shutil.copytree(home / "encoders" / "default", folder)
    graph = (folder / "encoder.xml").read_bytes() + b"\n"
    (folder / "encoder.xml").write_bytes(graph)
    card = json.loads((folder / "card.json").read_text())
    card["fingerprint"] = fingerprint(graph, (folder / "encoder.bin").read_bytes())
    (folder / "card.json").write_text(json.dumps(card))
    return str(card["fingerprint"])


def test_another_encoder_after_a_kill(run: Run, ready_home: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 12)
    index, encoder = tmp_path / "index", tmp_path / "other"
    assert run("index", tmp_path / "photos", "--index", index).returncode == 0
    before = json.loads(run("info", "--index", index, "--json").stdout)
    new = another_encoder(ready_home, encoder)
    words = ["index", "--index", index, "--encoder", encoder]
    process = subprocess.Popen([str(PROGRAM), *map(str, words)], env=environment(ready_home))
    deadline = time.monotonic() + 100
    while not list(index.glob(".generation-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert json.loads(run("info", "--index", index, "--json").stdout) == before
    query = run("query", photos[3], "--index", index, "--paths", "-k", 1)
    assert query.stdout.splitlines() == [str(photos[3])]
    unchanged = run("index", tmp_path / "photos", "--index", index)
    assert unchanged.returncode == 0
    assert "unfinished" in unchanged.stderr
    again = run(*words, "--json")
    assert again.returncode == 0, again.stderr
    after = json.loads(run("info", "--index", index, "--json").stdout)
    assert (after["encoder"], after["images"]) == (new, 12)
    assert run("verify", "--index", index).returncode == 0
    assert not list(index.glob(".generation-*"))
    counts = json.loads(run("index", tmp_path / "photos", "--index", index, "--json").stdout)
    assert (counts["unchanged"], counts["embedded"]) == (12, 0)


@pytest.mark.parametrize(
    "error", [StorageFailed("the disk is full", "free some space"), KeyboardInterrupt()]
)
def test_a_new_index_that_fails_is_discarded(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    make_photos(tmp_path / "photos", 2)

    def fail(*args: object, **options: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(update, "sync_folders", fail)
        with pytest.raises(type(error)):
            index_command.index(
                [str(tmp_path / "photos")], index="fresh", encoder=str(encoder_folder)
            )
    assert not path_of("indexes", "fresh").exists()


def test_a_file_that_is_not_a_picture_any_more_leaves_the_index(run: Run, tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path / "photos", 1)
    words = ["index", tmp_path / "photos", "--index", tmp_path / "index"]
    assert run(*words).returncode == 0
    photo.write_text("not a picture any more")
    outcome = run(*words)
    assert outcome.returncode == 3
    assert "not a picture in any known format" in outcome.stderr
    assert "stay in the index" not in outcome.stderr
    assert run("query", *make_photos(tmp_path, 1), *words[2:]).returncode == 1


def test_a_folder_with_only_broken_files(run: Run, tmp_path: Path) -> None:
    """The starter's whitening is fitted on photos that are indexed there later."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (photos / "notes.txt").write_text("words")
    outcome = run("index", photos, "--json", home=tmp_path)
    assert outcome.returncode == 3
    counts = json.loads(outcome.stdout)
    assert (counts["embedded"], counts["skipped"], counts["not_pictures"]) == (0, 2, 1)
    skipped = run("info", "--skipped", home=tmp_path).stdout
    assert "empty.jpg: empty" in skipped
    assert "bad.png" in skipped
    query = run("query", *make_photos(tmp_path, 1), home=tmp_path)
    assert (query.returncode, "the index is empty" in query.stderr) == (1, True)
    make_photos(photos / "more", 8)
    assert run("index", photos, home=tmp_path).returncode == 3
    info = json.loads(run("info", "--json", home=tmp_path).stdout)
    assert info["images"] + info["skipped"] + info["not_pictures"] == 8 + 3
    assert not run("index", "--encoder", "starter", home=tmp_path).stderr.count("new key")


def test_index_without_arguments_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("index").returncode == 2
    assert run("index", "--remove", tmp_path, "--index", "nix").returncode == 1


def test_without_an_encoder_the_starter_is_used(run: Run, photos: Path, tmp_path: Path) -> None:
    first = run("index", photos, home=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "no encoder called default: using the starter" in first.stderr
    photo = photos / "other" / "photo 05.jpg"
    best = json.loads(run("query", photo, "--json", home=tmp_path).stdout)["results"][0]
    assert best["path"] == str(photo)
    assert best["score"] >= 0.98
    again = run("index", photos, home=tmp_path).stderr
    assert "starter" not in again
    assert "whitening" not in again


def test_an_outgrown_whitening_is_fitted_again_on_request(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 8)
    photos = tmp_path / "photos"
    run("index", photos, home=tmp_path)
    before = json.loads(run("info", "--json", home=tmp_path).stdout)
    make_photos(photos / "more", before["images"] + 1, seed=77)
    second = run("index", photos, home=tmp_path)
    assert f"fitted on {before['keys']} of" in second.stderr
    third = run("index", "--encoder", "starter", home=tmp_path)
    assert f"fitted on {before['keys']} of these photos" in third.stderr
    after = json.loads(run("info", "--json", home=tmp_path).stdout)
    assert after["images"] == 2 * before["images"] + 1
    assert after["encoder"] != before["encoder"]
    assert "of these photos" not in run("index", "--encoder", "starter", home=tmp_path).stderr
