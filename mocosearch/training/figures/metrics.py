"""The figures of a run over time: metrics.jsonl, and TensorBoard's scalars if asked for."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from mocosearch.encoder.export import METRICS
from mocosearch.training.figures.tensorboard import Scalars
from mocosearch.training.schedule import Budget, learning_rate, momentum
from mocosearch.training.state import Training

INTERVAL = 10.0
"""Seconds between two lines, apart from those at checkpoints."""

Line = dict[str, float]
"""The figures at one step by their names; those that were not measured are absent.

step: training steps so far. seconds: of training so far, without pauses. epoch: passes over the
photos so far. loss: mean over the steps since the line before. chance_loss: the loss of
uninformative keys. learning_rate, momentum: of the next step; with a teacher there is no momentum.
photos_per_second: since the line before. view_recall: share of photos, 0..1, that a hard view of
them retrieves. knn_accuracy: share of labelled photos, 0..1, whose label is predicted by kNN;
measured where view_recall is.
"""


class Metrics:
    """The lines of a run, one JSON object each in the file METRICS of its folder.

    folder: the run's checkpoints. Lines beyond the last checkpoint, which a killed run leaves
        behind, are deleted.
    tensorboard: a folder for the same figures as scalars.
    knn_accuracy: measures the training's network by labels.
    """

    def __init__(
        self,
        folder: Path,
        training: Training,
        budget: Budget,
        tensorboard: Path | None = None,
        knn_accuracy: Callable[[], float] | None = None,
    ) -> None:
        self._file, self._training, self._budget = folder / METRICS, training, budget
        self._knn_accuracy = knn_accuracy
        self._tensorboard = tensorboard
        self._lines = _read(self._file)
        self._scalars: Scalars | None = None
        self.rewind()

    def rewind(self) -> None:
        """Delete the lines beyond the training's current step."""
        self._lines = [line for line in self._lines if line["step"] <= self._training.steps]
        self._rewrite()
        self.close()
        if self._tensorboard is not None:
            self._scalars = Scalars(self._tensorboard, self._lines)
        self._mark()

    def due(self) -> bool:
        """Whether INTERVAL seconds have passed since the last line."""
        return self._budget.elapsed() - self._seconds >= INTERVAL

    def add(self, view_recall: float | None = None) -> None:
        """Add a line for the training's current step, or complete the one that exists."""
        recall = {} if view_recall is None else {"view_recall": round(view_recall, 4)}
        if view_recall is not None and self._knn_accuracy is not None:
            recall["knn_accuracy"] = round(self._knn_accuracy(), 4)
        if self._lines and self._lines[-1]["step"] == self._training.steps:
            figures = {"step": self._training.steps, **recall}
            self._lines[-1] |= figures
            self._rewrite()
        else:
            figures = self._line() | recall
            self._lines.append(figures)
            self._append()
        if self._scalars is not None:
            self._scalars.add(figures)
        self._mark()

    def text(self) -> str:
        """All lines, as in the file."""
        return "".join(json.dumps(line) + "\n" for line in self._lines)

    def values(self, name: str) -> list[float]:
        """The figure of this name at all steps at which it was measured."""
        return [line[name] for line in self._lines if name in line]

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._scalars is not None:
            self._scalars.close()

    def _line(self) -> Line:
        training, recipe, seconds = self._training, self._training.recipe, self._budget.elapsed()
        steps_per_epoch = max(1, len(training.pixels) // recipe.batch)
        line: Line = {"step": training.steps, "seconds": round(seconds, 1)}
        line["epoch"] = round(training.steps / steps_per_epoch, 2)
        steps = training.steps - int(self._lines[-1]["step"] if self._lines else 0)
        if losses := training.losses[len(training.losses) - steps :]:
            line["loss"] = round(sum(losses) / len(losses), 4)
        line["chance_loss"] = round(training.model.chance_loss, 4)
        progress = self._budget.progress(training.steps)
        line["learning_rate"] = float(f"{learning_rate(recipe, progress):.4g}")
        if hasattr(training.model, "m"):
            line["momentum"] = round(momentum(recipe, progress), 6)
        photos = (training.steps - self._steps) * recipe.batch
        if photos and seconds > self._seconds:
            line["photos_per_second"] = round(photos / (seconds - self._seconds), 1)
        return line

    def _mark(self) -> None:
        """Measure the rate of the next line from here, without the time for this one."""
        self._steps, self._seconds = self._training.steps, self._budget.elapsed()

    def _append(self) -> None:
        _write(self._file, "a", json.dumps(self._lines[-1]) + "\n")

    def _rewrite(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self._file.with_name(f".{os.getpid()}.metrics.part")
        try:
            _write(part, "w", self.text())
            os.replace(part, self._file)
        finally:
            part.unlink(missing_ok=True)


def _write(file: Path, mode: str, text: str) -> None:
    with open(file, mode, encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _read(file: Path) -> list[Line]:
    """The lines of a file, if it exists; a line that a killed run wrote in part is left out."""
    if not file.exists():
        return []
    lines = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines
