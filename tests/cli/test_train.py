"""What `train` says, and what it refuses before anything is decoded."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from program import Run

import mocosearch.training.run as training
from cli.train import train
from mocosearch.encoder import Encoder


@pytest.mark.parametrize(
    "words",
    [
        ["--resume", "--for", "5m"],
        ["--resume", "--epochs", 0],
        ["--resume", "--recipe", "v2", "--size", 64],
        ["--resume", "--init", "none", "--arch", "resnet18"],
        ["--resume", "--teacher", "starter"],
        ["--resume", "--batch", 8, "--bursts", "positive", "--seed", 1],
        ["--seed", -1],
        ["--seed", 2**63],
    ],
)
def test_what_would_be_passed_over_or_cannot_be_is_wrong_usage(
    words: list[object], photos: Path, run: Run
) -> None:
    ended = run("train", photos, *words)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    told = " ".join(ended.stderr.split())
    assert all(word in told for word in words if str(word).startswith("--"))


def test_an_export_of_the_start_says_so(photos: Path, run: Run, tmp_path: Path) -> None:
    ended = run("train", photos, "--epochs", 0, "--size", 32, home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "exported the starting network without training" in ended.stderr
    assert "trained on" not in ended.stderr


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> Any:
    """ends_with(...): the code with which `train` leaves after a run that ended so."""

    def ends(**how: Any) -> object:
        usual = {"skipped": {}, "interrupted": False, "reason": "given", "warnings": []}
        made = training.TrainingResult(encoder.card, Path("enc"), **{**usual, **how})
        monkeypatch.setattr(training, "train", lambda *words, **options: made)
        try:
            train(["."])
        except typer.Exit as end:
            return end.exit_code
        return 0

    return ends


def test_an_earlier_encoder_that_is_kept_is_said(
    ends_with: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(interrupted=True, previous=True) == 130
    said = capsys.readouterr().err
    assert "the previous encoder is unchanged; --resume continues the run" in said
    assert "trained on" not in said


def test_a_folder_that_cannot_be_looked_into_is_said(
    ends_with: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(unreadable=["/photos/locked"]) == 3
    assert "cannot read the folder /photos/locked" in capsys.readouterr().err


@pytest.mark.slow
def test_an_encoder_or_that_of_an_index_teaches(
    photos: Path, run: Run, made: Path, tmp_path: Path
) -> None:
    short = ["--epochs", 1, "--size", 32, "--json"]
    by_name = run("train", photos, "--name", tmp_path / "a", "--teacher", "starter", *short)
    index = made / "indexes" / "default"
    by_index = run("train", photos, "--name", tmp_path / "b", "--teacher", index, *short)
    for ended in (by_name, by_index):
        assert ended.returncode == 0, ended.stderr
        assert "recipe seed: the teacher is resnet10" in ended.stderr
        card = json.loads(ended.stdout)["card"]
        assert card["recipe"]["name"] == "seed"
        assert (card["teacher"] is None) == (card["epochs"] == 0)


def test_a_teacher_that_is_not_there_is_said_before_anything_is_decoded(
    photos: Path, run: Run
) -> None:
    ended = run("train", photos, "--name", "taught", "--teacher", "nobody")
    assert ended.returncode == 1
    assert "nobody" in ended.stderr
    assert "photos" not in ended.stderr.replace(str(photos), "")
