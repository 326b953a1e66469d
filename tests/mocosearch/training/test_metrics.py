"""metrics.jsonl and TensorBoard's scalars, of whole runs."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mocosearch import train
from mocosearch.errors import MissingPackage, StorageFailed, Unsuitable
from mocosearch.training import metrics
from mocosearch.training.recipes import SMALL
from mocosearch.training.schedule import learning_rate, momentum
from mocosearch.training.state import Training

TINY = replace(SMALL, size=32, cache_side=40, encode_side=48, batch=8, K=24, dimension=16)
HOW: dict[str, Any] = {"recipe": TINY, "architecture": "resnet10", "init": "none", "epochs": 3}
"""Of 16 photos: six steps."""

pytestmark = pytest.mark.usefixtures("constant_recall", "light_graph")


@pytest.fixture
def photos(tmp_path: Path, fill: Callable[..., list[Path]]) -> Path:
    return fill(tmp_path / "photos", range(16))[0].parent


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for every step."""
    monkeypatch.setattr(metrics, "INTERVAL", 0.0)


def lines_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def stop_at(monkeypatch: pytest.MonkeyPatch, steps: int) -> Callable[[], bool]:
    """A `stopped` that is true once so many steps of the run are done."""
    done: list[int] = []
    step = Training.step

    def counted(self: Training, progress: float) -> Any:
        loss = step(self, progress)
        done.append(self.steps)
        return loss

    monkeypatch.setattr(Training, "step", counted)
    return lambda: bool(done) and done[-1] >= steps


@pytest.mark.usefixtures("every_step")
def test_a_run_writes_its_figures(photos: Path, tmp_path: Path) -> None:
    result = train(photos, tmp_path / "e", **HOW)
    start, *lines = lines_of(tmp_path / "e")
    recipe = replace(TINY, **{name: result.card.recipe[name] for name in ("K", "warmup")})
    assert (start["step"], start["view_recall"]) == (0, 0.5)
    assert "loss" not in start
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        progress = line["step"] / 6
        assert line["epoch"] == line["step"] / 2
        assert line["loss"] > 0
        assert line["chance_loss"] == start["chance_loss"] > 0
        assert line["learning_rate"] == pytest.approx(learning_rate(recipe, progress), rel=1e-3)
        assert line["momentum"] == pytest.approx(momentum(recipe, progress))
        assert line["photos_per_second"] > 0
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
    assert lines[-1]["view_recall"] == 0.5
    assert lines[-1]["epoch"] == result.card.epochs
    names = {"step", "seconds", "epoch", "loss", "chance_loss", "learning_rate", "momentum"}
    assert set().union(*lines) == names | {"photos_per_second", "view_recall"}


def test_the_loss_of_a_line_is_the_mean_since_the_line_before(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(photos, tmp_path / "sparse", **HOW)
    monkeypatch.setattr(metrics, "INTERVAL", 0.0)
    train(photos, tmp_path / "dense", **HOW)
    losses = [line["loss"] for line in lines_of(tmp_path / "dense")[1:]]
    last = lines_of(tmp_path / "sparse")[-1]
    assert last["step"] == 6
    assert last["loss"] == pytest.approx(sum(losses) / 6, abs=1e-4)


@pytest.mark.usefixtures("every_step")
def test_a_run_without_training_has_no_figures(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "e", **HOW)
    train(photos, tmp_path / "e", **{**HOW, "epochs": 0})
    assert not (tmp_path / "e" / "metrics.jsonl").exists()


@pytest.mark.usefixtures("every_step")
def test_a_resumed_run_continues_its_lines(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a kill, which leaves lines beyond the last checkpoint, the last one in part."""
    folder = tmp_path / "e"
    train(photos, tmp_path / "straight", **HOW)
    with monkeypatch.context() as patch:
        train(photos, folder, **HOW, stopped=stop_at(patch, 2))
    assert [line["step"] for line in lines_of(folder)] == [0, 1, 2]
    with monkeypatch.context() as patch:
        killed = stop_at(patch, 4)
        with pytest.raises(ZeroDivisionError):
            train(photos, folder, resume=True, stopped=lambda: bool(killed() and 1 / 0))
    running = tmp_path / ".e.training"
    assert [line["step"] for line in lines_of(running)] == [0, 1, 2, 3, 4]
    with open(running / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "sec')
    train(photos, folder, resume=True)
    timeless = ("step", "epoch", "loss", "learning_rate", "momentum", "view_recall")
    first, second = (
        [{name: line.get(name) for name in timeless} for line in lines_of(place)]
        for place in (tmp_path / "straight", folder)
    )
    # A run measures the view recall where it stops.
    assert second[2].pop("view_recall") == 0.5
    first[2].pop("view_recall")
    assert first == second
    seconds = [line["seconds"] for line in lines_of(folder)]
    assert seconds == sorted(seconds)


def scalars_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder: the step and the value of each point by its name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(point.step, point.value) for point in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


@pytest.mark.usefixtures("every_step")
def test_tensorboard_shows_the_same_figures(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a resumed run, and of a second one in the same folder."""
    pytest.importorskip("tensorboard")
    board, folder = tmp_path / "new" / "board", tmp_path / "e"
    for how in (HOW, {"resume": True}, {**HOW, "epochs": 2}):
        with monkeypatch.context() as patch:
            stopped = stop_at(patch, 2) if how is HOW else lambda: False
            train(photos, folder, **how, stopped=stopped, tensorboard=board)
        lines, scalars = lines_of(folder), scalars_of(board)
        assert scalars.keys() == set().union(*lines) - {"step"}
        for name, points in scalars.items():
            expected = [(line["step"], line[name]) for line in lines if name in line]
            assert points == [(step, pytest.approx(value, rel=1e-5)) for step, value in expected]


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
