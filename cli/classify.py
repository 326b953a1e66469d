"""mocosearch evaluate --knn and --linear: the papers' evaluation, with labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.common import reading
from cli.display import progress

if TYPE_CHECKING:
    from indexes import Reader
    from mocosearch.evaluation.evaluate import Evaluation
    from mocosearch.evaluation.probe import LabelledPhotos


def classify(
    name: str,
    manifest: Path | None,
    classes: bool,
    knn: bool,
    linear: bool,
    percents: str | None,
    test: Path | None,
) -> "Evaluation":
    """The share of photos whose label is predicted from their features, by method and by way."""
    if manifest is None and not classes:
        raise typer.BadParameter("--knn and --linear need labels: --classes or --manifest FILE")
    if percents is not None and not linear:
        raise typer.BadParameter("--labels needs --linear")
    shares = _percents(percents, test is not None) if linear else []
    from cli.evaluate import labels_of
    from mocosearch.evaluation.probe import evaluate_classification
    from mocosearch.requirements import require_torch

    require_torch()
    with reading(name) as index:
        photos = _read(index, labels_of(index, manifest), "photos")
        others = None if test is None else _read(index, labels_of(index, test), "test")
        return evaluate_classification(index.encoder, photos, others, knn, shares)


def _percents(text: str | None, test: bool) -> list[float]:
    """Raises typer.BadParameter for what cannot be percentages of the labels."""
    if text is None:
        return [1.0, 10.0, 100.0] if test else [1.0, 10.0]
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--labels {text}: write numbers with commas: 1,10") from None
    if not all(0 < value <= 100 for value in values):
        raise typer.BadParameter(f"--labels {text}: each must be above 0 and at most 100")
    if 100.0 in values and not test:
        raise typer.BadParameter(
            "--labels 100 leaves no photo to predict: name others with --test FILE"
        )
    return values


def _read(index: "Reader", labels: dict[int, str], stage: str) -> "LabelledPhotos":
    """The labelled photos of an index that can be read."""
    from mocosearch.evaluation.probe import read_labelled

    paths = [index.record(id).paths[0] for id in labels]
    with progress() as bar:

        def report(photos: int, total: int) -> None:
            bar(stage, photos / total, f"{photos} of {total}")

        return read_labelled(paths, list(labels.values()), index.encoder.side, report)
