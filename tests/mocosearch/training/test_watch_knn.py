"""kNN accuracy on labelled photos during training: it is reported and decides nothing."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mocosearch import train
from mocosearch.encoder.card import Card
from mocosearch.errors import NoPhotos, Unreadable
from mocosearch.evaluation.classify import accuracy, knn_predictions
from mocosearch.evaluation.probe import last_stage
from mocosearch.moco.backbones import Backbone
from mocosearch.photos import decode

TINY: dict[str, Any] = {
    "architecture": "resnet10",
    "size": 32,
    "batch": 8,
    "epochs": 1,
    "init": "none",
}

Export = tuple[Backbone, Card, Mapping[str, str]]


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Export]:
    """Network, card and files of each run, in place of an export, which takes seconds."""
    runs: list[Export] = []

    def write(backbone: Backbone, _: Any, card: Card, __: Any, files: Any, *___: Any) -> Card:
        runs.append((backbone, card, files))
        return card

    monkeypatch.setattr("mocosearch.training.run.write_encoder", write)
    return runs


@pytest.fixture
def photos(tmp_path: Path, fill: Callable[..., list[Path]]) -> list[Path]:
    return fill(tmp_path / "photos", range(16))


@pytest.fixture
def manifest(photos: list[Path], tmp_path: Path) -> Path:
    lines = [f"photos/{file.name}\t{number % 3}\n" for number, file in enumerate(photos)]
    (tmp_path / "labels.tsv").write_text("".join(lines))
    return tmp_path / "labels.tsv"


def lines_of(files: Mapping[str, str]) -> list[dict[str, float]]:
    return [json.loads(line) for line in files["metrics.jsonl"].splitlines()]


def test_the_accuracy_is_reported_and_the_same_encoder_exported(
    exports: list[Export],
    photos: list[Path],
    manifest: Path,
    tmp_path: Path,
    constant_recall: None,
) -> None:
    for options in ({}, {"watch_knn": manifest}):
        train(photos[0].parent, tmp_path / "e", **TINY, **options)
    (plain, plain_card, plain_files), (network, card, files) = exports
    weights = network.state_dict()
    for name, values in plain.state_dict().items():
        assert torch.equal(values, weights[name])
    assert (card.quality, card.epochs) == (plain_card.quality, plain_card.epochs)
    assert not any("knn_accuracy" in line for line in lines_of(plain_files))
    assert "kNN" not in plain_files["report.html"]
    names = ("step", "loss", "view_recall")
    for line, other in zip(lines_of(files), lines_of(plain_files), strict=True):
        assert [line.get(name) for name in names] == [other.get(name) for name in names]

    # The last figure is that of the exported network by `evaluate --knn`.
    pixels = np.stack([decode(p.read_bytes(), card.side).pixels for p in photos])
    labels = [str(number % 3) for number in range(len(photos))]
    features = last_stage(network, pixels)
    own = np.arange(len(photos))
    expected = accuracy(knn_predictions(features, labels, features, own), labels)
    accuracies = [line["knn_accuracy"] for line in lines_of(files) if "knn_accuracy" in line]
    assert len(accuracies) == 2
    assert accuracies[-1] == pytest.approx(expected, abs=1e-4)
    assert f"over time: {accuracies[0]:.1%}, {accuracies[1]:.1%}." in files["report.html"]


def test_a_wrong_manifest_is_reported_before_any_photo_is_decoded(
    photos: list[Path], tmp_path: Path, home: Path
) -> None:
    (tmp_path / "no-tab").write_text("a.jpg\n")
    (tmp_path / "absent-photos").write_text("a.jpg\tcat\nb.jpg\tdog\n")
    for name, error in (("no-tab", Unreadable), ("absent-photos", NoPhotos), ("x", Unreadable)):
        with pytest.raises(error):
            train(photos[0].parent, tmp_path / "e", **TINY, watch_knn=tmp_path / name)
    assert not home.exists()
