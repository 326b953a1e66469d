"""The messages of `train`, and options that it rejects before decoding."""

import json
import sys
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
def test_options_that_resume_ignores_and_invalid_seeds_are_wrong_usage(
    words: list[object], photos: Path, run: Run
) -> None:
    result = run("train", photos, *words)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    message = " ".join(result.stderr.split())
    assert all(word in message for word in words if str(word).startswith("--"))


def test_zero_epochs_export_the_starting_network(photos: Path, run: Run, tmp_path: Path) -> None:
    result = run("train", photos, "--epochs", 0, "--size", 32, home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "exported the starting network without training" in result.stderr
    assert "trained on" not in result.stderr


def block_tensorboard() -> None:
    sys.modules["tensorboard"] = None  # type: ignore[assignment]


def test_tensorboard_that_is_not_installed_is_wrong_usage(
    photos: Path, run: Run, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    result = run("train", photos, "--tensorboard", board, prepare=block_tensorboard)
    assert result.returncode == 2
    message = " ".join(result.stderr.split())
    assert "TensorBoard is not installed; pip install 'mocosearch[tensorboard]'" in message
    assert "recipe" not in message
    assert not board.exists()


def test_a_folder_for_tensorboard_among_the_photos_is_wrong_usage(photos: Path, run: Run) -> None:
    result = run("train", photos, "--tensorboard", photos / "board")
    assert result.returncode == 2
    assert "lies in a photo folder" in result.stderr
    assert not (photos / "board").exists()


@pytest.fixture
def exit_code_of(monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> Any:
    """exit_code_of(...): the exit code of `train` for a run with that result."""

    def ends(**how: Any) -> object:
        usual = {"skipped": {}, "interrupted": False, "reason": "given", "warnings": []}
        result = training.TrainingResult(encoder.card, Path("enc"), **{**usual, **how})
        monkeypatch.setattr(training, "train", lambda *words, **options: result)
        try:
            train(["."])
        except typer.Exit as end:
            return end.exit_code
        return 0

    return ends


def test_an_unchanged_previous_encoder_is_reported(
    exit_code_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(interrupted=True, previous=True) == 130
    message = capsys.readouterr().err
    assert "the previous encoder is unchanged; --resume continues the run" in message
    assert "trained on" not in message


def test_unreadable_folders_are_reported(
    exit_code_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(unreadable=["/photos/locked"]) == 3
    assert "cannot read the folder /photos/locked" in capsys.readouterr().err


@pytest.mark.slow
def test_an_encoder_or_that_of_an_index_teaches(
    photos: Path, run: Run, trained_home: Path, tmp_path: Path
) -> None:
    short = ["--epochs", 1, "--size", 32, "--json"]
    by_name = run("train", photos, "--name", tmp_path / "a", "--teacher", "starter", *short)
    index = trained_home / "indexes" / "default"
    by_index = run("train", photos, "--name", tmp_path / "b", "--teacher", index, *short)
    for outcome in (by_name, by_index):
        assert outcome.returncode == 0, outcome.stderr
        assert "recipe seed: the teacher is " in outcome.stderr
        card = json.loads(outcome.stdout)["card"]
        assert card["recipe"]["name"] == "seed"
        assert (card["teacher"] is None) == (card["epochs"] == 0)


def test_a_teacher_that_is_not_there_is_said_before_anything_is_decoded(
    photos: Path, run: Run
) -> None:
    outcome = run("train", photos, "--name", "taught", "--teacher", "nobody")
    assert outcome.returncode == 1
    assert "nobody" in outcome.stderr
    assert "photos" not in outcome.stderr.replace(str(photos), "")
