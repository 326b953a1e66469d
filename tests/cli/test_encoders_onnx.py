"""Networks from ONNX files in every command that takes an encoder."""

import json
from pathlib import Path

import pytest
from light import export_light_graphs
from onnx_networks import SIDE, WIDTH, Graph
from program import Run, make_photos


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Graph().patches().save(tmp_path / "net.v2.onnx")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_every_command_takes_the_encoder(
    run: Run, file: Path, photos: Path, home: Path, tmp_path: Path
) -> None:
    addition = run("encoders", "add", file, "--preset", "clip", "--std", "0.5", "--json", home=home)
    assert addition.returncode == 0, addition.stderr
    assert "average of the map" in addition.stderr
    card = json.loads(addition.stdout)["card"]
    assert (card["architecture"], card["side"], card["dimension"]) == ("onnx", SIDE, WIDTH)
    assert card["recipe"]["mean"] == [0.48145466, 0.4578275, 0.40821073]
    assert card["recipe"]["std"] == [0.5, 0.5, 0.5]
    make_photos(tmp_path / "more", 80, seed=3)
    indexing = run("index", photos, tmp_path / "more", "--encoder", "net", home=home)
    assert indexing.returncode == 0, indexing.stderr
    facts = json.loads(run("info", "--json", home=home).stdout)
    assert (facts["images"], facts["architecture"]) == (110, "onnx")
    photo = next(photos.rglob("*.jpg"))
    assert run("query", photo, "--paths", home=home).stdout.splitlines()[0] == str(photo)
    assert run("duplicates", home=home).returncode == 0
    assert run("verify", home=home).returncode == 0
    evaluation = run("evaluate", "--json", home=home)
    assert evaluation.returncode == 0, evaluation.stderr
    assert "from an ONNX file" in evaluation.stderr
    assert json.loads(evaluation.stdout)["baselines"].keys() == {
        *("photos", "encoder", "8x8 thumbnails"),
    }
    assert "onnx" in run("encoders", "list", home=home).stdout


@pytest.mark.slow
def test_it_teaches(run: Run, file: Path, home: Path, tmp_path: Path) -> None:
    assert run("encoders", "add", file, home=home).returncode == 0
    make_photos(tmp_path / "photos", 100)
    words = ["train", tmp_path / "photos", "--teacher", "net", "--epochs", 1, "--size", 32]
    own = {"home": home, "prepare": export_light_graphs}
    training = run(*words, "--arch", "resnet10", "--json", **own)
    assert training.returncode == 0, training.stderr
    card = json.loads(training.stdout)["card"]
    assert {"teacher_agreement", "teacher_agreement_before"} <= card["quality"].keys()


def test_it_is_not_trained(run: Run, file: Path, photos: Path, home: Path) -> None:
    assert run("encoders", "add", file, home=home).returncode == 0
    result = run("train", photos, "--init", "net", "--name", "other", home=home)
    assert result.returncode == 2
    error, hint = result.stderr.splitlines()
    assert "comes from an ONNX file and cannot be trained" in error
    assert "--teacher" in hint


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--mean", "0.5,0.5"], 2, "give one number or three"),
        (["--std", "much"], 2, "give one number or three"),
        (["--std", "0"], 2, "positive"),
        (["--preset", "vgg"], 2, "'vgg'"),
        (["--layout", "chw"], 2, "'chw'"),
        (["--output", "logits"], 2, "has no output logits"),
        (["--mirror", "http://x"], 2, "--mirror needs"),
    ],
)
def test_wrong_options(
    run: Run, file: Path, home: Path, options: list[str], code: int, message: str
) -> None:
    result = run("encoders", "add", file, *options, home=home)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (home / "encoders" / "net").exists()


def test_options_of_onnx_files_are_for_these_alone(run: Run, home: Path) -> None:
    for words in (["moco-v2-800ep", "--preset", "clip"], ["net.pth", "--mean", "0", "--std", "1"]):
        result = run("encoders", "add", *words, home=home)
        assert result.returncode == 2
        assert f"only an ONNX file takes {', '.join(words[1::2])}" in " ".join(
            result.stderr.split()
        )


def test_damaged_and_missing_files(run: Run, file: Path, home: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])
    result = run("encoders", "add", file, home=home)
    assert result.returncode == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["error", "next"]
    assert "truncated or not an ONNX file" in result.stderr
    file.unlink()
    result = run("encoders", "add", file, home=home)
    assert result.returncode == 1
    assert "neither a file nor a published network" in result.stderr
    assert not (home / "encoders" / "net").exists()
