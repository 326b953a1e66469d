"""The demo: its collection, its questions and its page."""

import json
import re
import shutil
from pathlib import Path

import pytest
from light import export_light_graphs
from PIL import Image
from program import Run, make_photos

from cli.samples import QUESTIONS, VIEWS_EACH, draw_collection, draw_questions, picture_of


def test_the_demo_of_a_folder_indexes_it_anew_and_trains_when_asked(
    run: Run, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    make_photos(photos, 9)
    make_photos(tmp_path / "others", 3, seed=5)
    assert run("index", tmp_path / "others", "--index", "demo", home=tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "others")
    words = ["demo", "--photos", photos, "--for", "1s"]
    outcome = run(*words, home=tmp_path, prepare=export_light_graphs)
    assert outcome.returncode == 0, outcome.stderr
    page = Path(outcome.stdout.strip())
    shown = page.read_text()
    assert shown.count("data:image/jpeg;base64,") == 2 * 6 * 8
    assert shown.count("<h2>With the starter") == 6
    assert shown.count("<h2>After 1s of training") == 6
    assert "show the same picture" not in shown
    assert outcome.stderr.index(f"answers of the starter: {page}") < outcome.stderr.index(
        "encoder: "
    )
    facts = json.loads(run("info", "--index", "demo", "--json", home=tmp_path).stdout)
    assert (facts["images"], facts["roots"]) == (9, [str(photos)])


def test_an_invalid_time_fails_before_anything_is_drawn(run: Run, tmp_path: Path) -> None:
    assert run("demo", "--for", "soon", home=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_on_its_own_pictures(run: Run, tmp_path: Path) -> None:
    outcome = run("demo", "--json", home=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    result = json.loads(outcome.stdout)
    assert (result["queries"], result["images"]) == (len(QUESTIONS), 20 * VIEWS_EACH)
    shown = Path(result["page"]).read_text()
    assert shown.count("data:image/jpeg;base64,") == len(QUESTIONS) * 8
    right = [int(n) for n in re.findall(r": (\d) of 7 show the same picture", shown)]
    assert len(right) == len(QUESTIONS)
    assert len(set(right)) > 1
    assert sum(right) >= 0.6 * 7 * len(right)
    assert f"{sum(right)} of {7 * len(right)} answers" in outcome.stderr
    assert "CC BY 2.0" in shown
    assert not (tmp_path / "encoders").exists()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_collection(tmp_path_factory.mktemp("demo") / "photos")


def test_the_samples_are_drawn_from_pictures_of_packages(collection: Path) -> None:
    files = sorted(p.name for p in collection.iterdir())
    assert len(files) % VIEWS_EACH == 0
    names = {picture_of(name) for name in files}
    assert len(names) == 20
    assert {"china", "motorcycle_left", "hubble_deep_field"} <= names


def test_the_questions_ask_for_pictures_of_the_collection_in_different_ways(
    collection: Path, tmp_path: Path
) -> None:
    questions = draw_questions(tmp_path)
    names = {picture_of(path) for path in collection.iterdir()}
    assert len(questions) == len(QUESTIONS)
    assert {picture_of(question.path) for question in questions} <= names
    assert len({picture_of(question.path) for question in questions}) == len(questions)
    assert len({question.words for question in questions}) == len(questions)


def test_an_incomplete_sample_is_drawn_again(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(collection, folder)
    (folder / "moon-05.jpg").unlink()

    def interrupt(self: Image.Image, path: Path, **options: object) -> None:
        path.write_bytes(b"\xff\xd8\xff half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            draw_collection(folder)
    assert not (folder / "moon-05.jpg").exists()
    draw_collection(folder)
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(p.name for p in collection.iterdir())
    assert (folder / "moon-05.jpg").read_bytes() == (collection / "moon-05.jpg").read_bytes()
