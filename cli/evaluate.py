"""mocosearch evaluate: how well an index retrieves."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import Json, ReaderName, reading
from cli.display import progress, say, show, show_json, warn

if TYPE_CHECKING:
    from indexes import Reader
    from mocosearch.evaluation.baselines import Figures
    from mocosearch.evaluation.evaluate import Evaluation


Manifest = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A file of labels: lines of path, tab, label; paths are relative to its folder.",
    ),
]
Classes = Annotated[
    bool, typer.Option("--classes", help="Use the name of a photo's folder as its label.")
]
Knn = Annotated[
    bool, typer.Option("--knn", help="Predict labels by weighted kNN, as the MoCo demo does.")
]
Linear = Annotated[
    bool, typer.Option("--linear", help="Predict labels by a linear classifier on the features.")
]
Percents = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="LIST",
        help="With --linear: per cent of the labels to train on "
        "[default: 1,10; with --test 1,10,100].",
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="With --knn or --linear: a manifest of other photos to predict."
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write a bar chart of the comparison: .png, .webp, .jpg or .pdf."
    ),
]


def evaluate(
    index: ReaderName = "default",
    manifest: Manifest = None,
    classes: Classes = False,
    knn: Knn = False,
    linear: Linear = False,
    percents: Percents = None,
    test: Test = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """Measure how well an index retrieves.

    Without labels, altered copies of some photos (cropped, recoloured, blurred) are queries for
    their originals. With labels, every photo is a query for the others with its label. The
    encoder is compared with its untrained network and with 8x8 thumbnails on the same photos.

    Example: mocosearch evaluate --classes --plot evaluation.png
    """
    start = time.perf_counter()
    if manifest is not None and classes:
        raise typer.BadParameter("--manifest and --classes exclude each other")
    if plot is not None:
        from cli.plot import check

        check(plot)
    if knn or linear:
        from cli.classify import classify

        evaluation = classify(index, manifest, classes, knn, linear, percents, test)
    elif percents or test:
        raise typer.BadParameter("--labels and --test need --linear or --knn")
    else:
        evaluation = _evaluate(index, manifest, classes)
    if plot is not None:
        from cli.plot import draw

        draw(plot, "How often is it the right photo?", evaluation.summary, evaluation.baselines)
        say(f"plot: {plot}")
    if json:
        baselines = {"photos": evaluation.photos, **evaluation.baselines}
        seconds = time.perf_counter() - start
        show_json(evaluation.figures | {"baselines": baselines, "seconds": seconds})
        return
    for name, value in evaluation.figures.items():
        show(f"{name:14} {value:.3f}" if isinstance(value, float) else f"{name:14} {value}")
    show(f"\non the same {evaluation.photos} photos:")
    for line in _table(evaluation.baselines):
        show(line)
    say(evaluation.summary)


def _evaluate(index: str, manifest: Path | None, classes: bool) -> "Evaluation":
    import numpy as np

    from indexes import Where
    from mocosearch.encoder.card import ONNX
    from mocosearch.errors import NoPhotos
    from mocosearch.evaluation.evaluate import evaluate_alterations, evaluate_labels
    from mocosearch.requirements import has_torch

    if not has_torch():
        warn("PyTorch is not installed: the untrained network is left out of the comparison")
    with reading(index) as opened, progress() as bar:

        def report(photos: int, total: int) -> None:
            bar("photos", photos / total, f"{photos} of {total}")

        if len(opened) < 2:
            raise NoPhotos("the index holds too few photos", "add some: mocosearch index PHOTOS")
        if opened.encoder.card.architecture == ONNX:
            warn("the encoder is from an ONNX file: there is no untrained network to compare with")
        labels = labels_of(opened, manifest) if classes or manifest is not None else None
        ids = [int(id) for id in opened.among(Where())] if labels is None else list(labels)
        keys = opened.keys(ids).astype(np.float32)
        keys /= np.linalg.norm(keys, axis=1, keepdims=True).clip(min=1e-12)

        def path_of(row: int) -> str:
            return opened.record(ids[row]).paths[0]

        if labels is None:
            return evaluate_alterations(opened.encoder, keys, path_of, report)
        return evaluate_labels(opened.encoder, keys, list(labels.values()), path_of, report)


def labels_of(index: "Reader", manifest: Path | None) -> dict[int, str]:
    """A label for each photo by id: from a manifest, or the name of the photo's folder.

    Raises Unreadable, and NoPhotos if no photo of the manifest is in the index.
    """
    from indexes import Where
    from mocosearch.errors import NoPhotos
    from mocosearch.evaluation.manifest import read_manifest

    if manifest is None:
        paths = ((int(id), index.record(int(id)).paths[0]) for id in index.among(Where()))
        return {id: os.path.basename(os.path.dirname(path)) for id, path in paths}
    by_path = read_manifest(manifest)
    labels: dict[int, str] = {}
    for path, label in by_path.items():
        entry = index.entry(path)
        if entry is not None:
            labels[entry.id] = label
    if not labels:
        raise NoPhotos(
            f"no photo of {manifest} is in the index", "index its folder: mocosearch index PHOTOS"
        )
    if len(labels) < len(by_path):
        missing = len(by_path) - len(labels)
        warn(f"{missing} of {len(by_path)} photos are not in the index or are copies of others")
    return labels


def _table(figures: "Figures") -> list[str]:
    """One line per method, one column per metric."""
    metrics = list(next(iter(figures.values())))
    widths = [max(len(metric), 6) for metric in metrics]
    heads = "  ".join(m.rjust(w) for m, w in zip(metrics, widths, strict=True))
    lines = [f"{'':21} {heads}"]
    for method, values in figures.items():
        cells = "  ".join(f"{values[m]:.3f}".rjust(w) for m, w in zip(metrics, widths, strict=True))
        lines.append(f"{method:21} {cells}")
    return lines
