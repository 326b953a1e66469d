"""metrics.jsonl and TensorBoard's scalars, of whole runs."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mocosearch import train
from mocosearch.encoder.card import Card
from mocosearch.encoder.export import replacing
from mocosearch.errors import MissingPackage, StorageFailed, Unsuitable
from mocosearch.training.figures import metrics
from mocosearch.training.recipes import SMALL, Recipe
from mocosearch.training.schedule import learning_rate, momentum
from mocosearch.training.state import Training

TINY = replace(SMALL, size=32, cache_side=40, encode_side=48, batch=8, K=24, optimizer="sgd")
HOW: dict[str, Any] = {"recipe": TINY, "architecture": "resnet10", "init": "none", "epochs": 3}
"""Of 16 photos: six steps."""


def write_files(
    backbone: object, sample: object, card: Card, folder: Path, files: Mapping[str, str], *_: object
) -> Card:
    """In place of `write_encoder`: the files about the training alone."""
    with replacing(folder) as part:
        for name, text in files.items():
            (part / name).write_text(text)
    return card


@pytest.fixture(autouse=True)
def quick_runs(monkeypatch: pytest.MonkeyPatch, constant_recall: None) -> None:
    """With a line for every step."""
    monkeypatch.setattr("mocosearch.training.run.write_encoder", write_files)
    monkeypatch.setattr(metrics, "INTERVAL", 0.0)


@pytest.fixture
def photos(tmp_path: Path, fill: Callable[..., list[Path]]) -> Path:
    return fill(tmp_path / "photos", range(16))[0].parent


def lines_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scalars_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder: the step and the value of each point by its name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(point.step, point.value) for point in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def check_figures(lines: list[dict[str, float]], recipe: Recipe) -> None:
    """Those of a run with a line for every step."""
    start, *others = lines
    assert (start["step"], start["view_recall"]) == (0, 0.5)
    assert "loss" not in start
    assert [line["step"] for line in others] == [1, 2, 3, 4, 5, 6]
    for line in others:
        progress = line["step"] / 6
        assert line["epoch"] == line["step"] / 2
        assert line["loss"] > 0
        assert line["chance_loss"] == start["chance_loss"] > 0
        assert line["learning_rate"] == pytest.approx(learning_rate(recipe, progress), rel=1e-3)
        assert line["momentum"] == pytest.approx(momentum(recipe, progress))
        assert line["photos_per_second"] > 0
    assert others[-1]["view_recall"] == 0.5
    names = {"step", "seconds", "epoch", "loss", "chance_loss", "learning_rate", "momentum"}
    assert set().union(*others) == names | {"photos_per_second", "view_recall"}


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Callable[[], bool]]:
    """stop_at(n): a `stopped` that is true once step n of the next run is done."""
    last: list[int] = []
    step = Training.step

    def counted(self: Training, progress: float) -> Any:
        loss = step(self, progress)
        last.append(self.steps)
        return loss

    def stopped_at(number: int) -> Callable[[], bool]:
        last.clear()
        return lambda: bool(last) and last[-1] >= number

    monkeypatch.setattr(Training, "step", counted)
    return stopped_at


def test_a_resumed_run_continues_its_lines(
    photos: Path,
    tmp_path: Path,
    stop_at: Callable[[int], Callable[[], bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also after a kill, which leaves lines beyond the last checkpoint, the last one in part.
    TensorBoard shows the same figures.
    """
    pytest.importorskip("tensorboard")
    folder, running, board = tmp_path / "e", tmp_path / ".e.training", tmp_path / "new" / "board"
    whole = train(photos, tmp_path / "whole", **HOW)
    lines = lines_of(tmp_path / "whole")
    check_figures(lines, replace(TINY, warmup=whole.card.recipe["warmup"]))
    assert lines[-1]["epoch"] == whole.card.epochs

    train(photos, folder, **HOW, stopped=stop_at(2), tensorboard=board)
    assert [line["step"] for line in lines_of(folder)] == [0, 1, 2]
    kill = stop_at(4)
    again: dict[str, Any] = {"resume": True, "tensorboard": board}
    with pytest.raises(ZeroDivisionError):
        train(photos, folder, **again, stopped=lambda: bool(kill() and 1 / 0))
    assert [line["step"] for line in lines_of(running)] == [0, 1, 2, 3, 4]
    with open(running / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "sec')
    monkeypatch.setattr(metrics, "INTERVAL", 1e9)
    train(photos, folder, **again)

    resumed = lines_of(folder)
    assert [line["step"] for line in resumed] == [0, 1, 2, 6]
    assert [line["loss"] for line in resumed[1:3]] == [line["loss"] for line in lines[1:3]]
    # The mean since the line before.
    mean = sum(line["loss"] for line in lines[3:]) / 4
    assert resumed[-1]["loss"] == pytest.approx(mean, abs=2e-4)
    seconds = [line["seconds"] for line in resumed]
    assert seconds == sorted(seconds)

    scalars = scalars_of(board)
    assert scalars.keys() == set().union(*resumed) - {"step"}
    for name, points in scalars.items():
        expected = [(line["step"], line[name]) for line in resumed if name in line]
        assert points == [(step, pytest.approx(value, rel=1e-5)) for step, value in expected]


def test_a_run_without_training_has_no_figures(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "metrics.jsonl").touch()
    train(photos, tmp_path / "e", **{**HOW, "epochs": 0})
    assert not (tmp_path / "e" / "metrics.jsonl").exists()


def test_a_folder_for_tensorboard_is_checked_before_any_work(
    photos: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(photos)
    reports: list[object] = []
    for board, error in (
        (photos / "board", Unsuitable),
        (photos, Unsuitable),
        (tmp_path / "link" / "board", Unsuitable),
        (tmp_path / "file", StorageFailed),
        (tmp_path / "file" / "board", StorageFailed),
    ):
        with pytest.raises(error, match="--tensorboard"):
            train(photos, tmp_path / "e", **HOW, tensorboard=board, report=reports.append)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingPackage, match="TensorBoard is not installed") as caught:
        train(photos, tmp_path / "e", **HOW, tensorboard=tmp_path / "b", report=reports.append)
    assert caught.value.hint == "pip install 'mocosearch[tensorboard]'"
    assert len(list(photos.iterdir())) == 16
    assert not any(path.exists() for path in (home, tmp_path / "e", tmp_path / "b"))
    assert reports == []
