"""`mocosearch look`, and `query @NAME`."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import Run, make_photos

from indexes import Index
from indexes.looks.answers import answers_of


@pytest.fixture
def place(ready_home: Path, tmp_path: Path) -> Path:
    """A home of its own with an index of thirty photos, ten of them reddish."""
    shutil.copytree(ready_home / "encoders", tmp_path / "home" / "encoders")
    make_photos(tmp_path / "photos", 20)
    for number, path in enumerate(make_photos(tmp_path / "photos" / "red", 10, seed=9)):
        with Image.open(path) as image:
            pixels = np.asarray(image, np.float32) * 0.4
        pixels[..., 0] += 150 - number
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return tmp_path


@pytest.fixture
def ask(run: Run, place: Path) -> Any:
    """ask(words): the JSON document of a command in that home, with its index."""

    def asks(*words: object, **options: object) -> Any:
        outcome = run(*words, "--json", home=place / "home", **options)
        assert outcome.returncode == 0, outcome.stderr
        return json.loads(outcome.stdout)

    asks("index", place / "photos")
    return asks


def names(results: dict[str, Any]) -> list[str]:
    return [Path(result["path"]).parent.name for result in results["results"]]


def test_a_look_is_saved_asked_taught_and_dropped(run: Run, place: Path, ask: Any) -> None:
    red = sorted((place / "photos" / "red").iterdir())
    others = sorted((place / "photos").glob("*.jpg"))
    saved = ask("look", "save", "red", red[0], red[1], "--minus", others[0])
    assert [picture["wanted"] for picture in saved["pictures"]] == [True, True, False]
    for picture, original in zip(saved["pictures"], [*red[:2], others[0]], strict=True):
        assert Path(picture["path"]).read_bytes() == original.read_bytes()
        assert os.stat(picture["path"]).st_mode & 0o077 == 0
    folder = place / "home" / "looks" / "red"
    assert folder.stat().st_mode & 0o077 == 0
    assert names(ask("query", "@red", "-k", 5)) == ["red"] * 5

    words = ["--yes", red[2], "--yes", red[3], "--no", others[1], "--no", others[2]]
    taught = ask("look", "teach", "red", *words)
    assert (taught["yes"], taught["no"], taught["examples"]) == (2, 2, 7)
    assert 0 <= taught["wrong"] <= 0.25
    paths = {result["path"] for result in ask("query", "@red", "-k", 40)["results"]}
    assert len(paths) == 28
    assert not paths & set(map(str, others[1:3]))
    stored = json.loads((folder / "look.json").read_text())
    assert stored.keys() == {"format", "pictures", "answers", "asked"}

    assert [one["name"] for one in ask("look", "list")["looks"]] == ["red"]
    shown = ask("look", "show", "red")
    assert shown == taught
    assert "expected to be wrong" in run("look", "show", "red", home=place / "home").stdout
    assert run("look", "drop", "red", home=place / "home").returncode == 0
    assert ask("look", "list") == {"looks": []}
    outcome = run("query", "@red", home=place / "home")
    assert outcome.returncode == 1
    assert "no look red" in outcome.stderr


def test_questions_in_the_terminal(run: Run, place: Path, ask: Any) -> None:
    red = sorted((place / "photos" / "red").iterdir())
    ask("look", "save", "red", red[0])
    words = ["look", "teach", "red"]
    outcome = run(*words, home=place / "home", input="y\nwhat\ns\nn\nq\ny\n")
    assert outcome.returncode == 0
    assert outcome.stderr.count("Does it belong?") == 5
    assert "4 of 10" in outcome.stderr
    assert "judged by 3 examples" in outcome.stdout
    asked = [line.split(": ", 1)[1] for line in outcome.stderr.splitlines() if " of 10: " in line]
    assert len(set(asked)) == 4
    facts = ask("look", "show", "red")
    assert (facts["yes"], facts["no"]) == (1, 1)
    again = run(*words, "--count", 2, home=place / "home", input="y\ny\ny\n")
    assert again.stderr.count("Does it belong?") == 2


def test_only_new_photos(run: Run, place: Path, ask: Any) -> None:
    red = sorted((place / "photos" / "red").iterdir())
    ask("look", "save", "red", red[0])
    assert len(ask("query", "@red", "--new", "-k", 40)["results"]) == 30
    assert ask("query", "@red", "--new")["results"] == []
    make_photos(place / "photos" / "more", 2, seed=50)
    ask("index", place / "photos")
    assert names(ask("query", "@red", "--new")) == ["more"] * 2
    assert ask("query", "@red", "--new")["results"] == []
    assert len(ask("query", "@red", "-k", 40)["results"]) == 32


def test_a_look_survives_another_encoder(run: Run, place: Path, ask: Any) -> None:
    from light import projections

    from mocosearch.encoder.card import Card, fingerprint
    from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS, openvino

    red = sorted((place / "photos" / "red").iterdir())
    ask("look", "save", "red", red[0], red[1])
    ask("look", "teach", "red", "--yes", red[2])
    other = place / "home" / "encoders" / "other"
    shutil.copytree(place / "home" / "encoders" / "default", other)
    openvino().serialize(projections(16, 40, 3), other / GRAPH, other / WEIGHTS)
    print_of = fingerprint((other / GRAPH).read_bytes(), (other / WEIGHTS).read_bytes())
    card = json.loads((other / CARD).read_text()) | {"dimension": 40, "fingerprint": print_of}
    (other / CARD).write_text(json.dumps(card))
    assert Card.from_json((other / CARD).read_bytes()).dimension == 40
    ask("index", place / "photos", "--encoder", "other")
    assert names(ask("query", "@red", "-k", 5)) == ["red"] * 5
    assert ask("look", "show", "red")["examples"] == 3


def test_what_does_not_go_with_a_look(run: Run, place: Path, ask: Any) -> None:
    red = sorted((place / "photos" / "red").iterdir())
    ask("look", "save", "red", red[0])
    home = place / "home"
    assert run("look", "save", "red", red[1], home=home).returncode == 2
    assert run("look", "save", "a/b", red[1], home=home).returncode == 2
    assert run("look", "save", "other", place / "none.jpg", home=home).returncode == 1
    (place / "text.jpg").write_text("no picture")
    assert run("look", "save", "other", place / "text.jpg", home=home).returncode == 1
    assert not (home / "looks" / "other").exists()
    for words in (["@red", red[0]], ["@red", "--turned"], ["@red", "-i"], [red[0], "--new"]):
        assert run("query", *words, home=home).returncode == 2
    file = place / "@red"
    shutil.copy(red[3], file)
    outcome = run("query", "./@red", "--paths", "-k", 1, home=home, cwd=place)
    assert outcome.stdout == f"{red[3]}\n"
    (home / "looks" / "red" / "look.json").write_text("{")
    assert "mocosearch look drop red" in run("query", "@red", home=home).stderr


def test_answers_are_collected_for_training(run: Run, place: Path, ask: Any) -> None:
    """The photos of a look's pictures count as answers; photos that the index lacks do not."""
    red = sorted((place / "photos" / "red").iterdir())
    others = sorted((place / "photos").glob("*.jpg"))
    outside = make_photos(place / "outside", 1, seed=77)[0]
    ask("look", "save", "red", red[0], outside, "--minus", others[0])
    ask("look", "teach", "red", "--yes", red[2], "--no", others[1])
    shutil.copy(red[2], place / "photos" / "again.jpg")
    ask("index", place / "photos")
    with Index.open(str(place / "home" / "indexes" / "default")) as index:
        (look,), different = answers_of(index.snapshot)
    again = str(place / "photos" / "again.jpg")
    assert sorted(map(sorted, look[0])) == sorted([[str(red[0])], [again, str(red[2])]])
    assert sorted(look[1]) == [[str(others[0])], [str(others[1])]]
    assert different == []


def test_training_needs_answers(run: Run, place: Path, ask: Any) -> None:
    outcome = run("train", place / "photos", "--from-answers", home=place / "home")
    assert outcome.returncode == 2
    assert "there are no answers about the photos of this index" in outcome.stderr
    assert "mocosearch look teach NAME" in outcome.stderr


@pytest.mark.slow
def test_training_from_answers(run: Run, place: Path, ask: Any) -> None:
    red = sorted((place / "photos" / "red").iterdir())
    others = sorted((place / "photos").glob("*.jpg"))
    ask("look", "save", "red", *red[:9])
    ask("look", "teach", "red", *(word for file in others[:9] for word in ("--no", file)))
    words = ["--arch", "resnet10", "--size", 32, "--epochs", 1, "--from-answers"]
    result = ask("train", place / "photos", *words, "--name", "own")
    quality = result["card"]["quality"]
    assert 0 <= quality["answers_before"] <= 1
    assert (quality["answers"] > quality["answers_before"]) == (result["card"]["epochs"] > 0)
