"""The evaluation of an index's keys: metrics, baselines on the same photos, and a summary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mocosearch.encoder import Encoder
from mocosearch.encoder.whitening import Array
from mocosearch.errors import NoPhotos, Unreadable
from mocosearch.evaluation.alterations import alter
from mocosearch.evaluation.baselines import (
    ENCODER,
    Figures,
    alteration_recall,
    label_metrics,
    methods,
    query_keys,
    significantly_higher,
)
from mocosearch.evaluation.metrics import (
    effective_rank,
    precision_at,
    ranking_metrics,
    recall_at_1,
)
from mocosearch.photos.decode import decode_image, read

QUERIES = 200
"""Photos that are altered and used as queries."""
LABELLED = 2000
"""Labelled photos, at most, that the baselines are measured on."""
SIDE = 256
"""Longest side of the pictures that are compared, in pixels."""
GOOD = 0.9

PathOf = Callable[[int], str]
"""The path of the photo of a row of the keys; called only for the photos that are read."""
Report = Callable[[int, int], None]
"""Called with the number of photos read and the number to read."""


@dataclass(frozen=True)
class Evaluation:
    """figures: metrics of all keys. baselines: metrics of the encoder and of the baselines on
    `photos` of the same photos. summary: what that means, in a few sentences.
    """

    figures: dict[str, float | int]
    baselines: Figures
    photos: int
    summary: str


def evaluate_labels(
    encoder: Encoder,
    keys: Array,
    labels: Sequence[str],
    path_of: PathOf,
    report: Report = lambda photos, total: None,
) -> Evaluation:
    """Every photo is a query for the others with its label.

    keys: float32 (n, d) of unit length, with a label each. Raises Unsuitable if all
    labels are unique, and NoPhotos if fewer than two files can be read.
    """
    precision, ranking = precision_at(keys, labels), ranking_metrics(keys, labels)
    figures = {
        "photos": len(labels),
        "labels": len(set(labels)),
        "p@1": precision[1],
        "p@10": precision[10],
        "map": ranking.average_precision,
        **{f"recall@{k}": share for k, share in ranking.recall.items()},
    }
    rows, pictures = _read_pictures(path_of, len(keys), LABELLED, report)
    baselines = label_metrics(methods(encoder, pictures), pictures, [labels[row] for row in rows])
    summary = (
        f"The nearest other photo has the same label {precision[1]:.0%} of the time, and "
        f"{10 * precision[10]:.1f} of the nearest ten. {_compare(baselines, 'p@1', len(rows))}"
    )
    return Evaluation(figures, baselines, len(rows), summary)


def evaluate_alterations(
    encoder: Encoder,
    keys: Array,
    path_of: PathOf,
    report: Report = lambda photos, total: None,
) -> Evaluation:
    """Altered photos are queries for their originals among all keys; needs no labels.

    keys: float32 (n, d) of unit length. Raises NoPhotos if fewer than two files
    can be read.
    """
    rows, pictures = _read_pictures(path_of, len(keys), QUERIES, report)
    by_name = methods(encoder, pictures)
    queries = query_keys(by_name, alter(pictures))
    recall = {kind: recall_at_1(keys, q, rows) for kind, q in queries[ENCODER].items()}
    figures = {
        "photos": len(keys),
        "queries": len(rows),
        **recall,
        "effective rank": effective_rank(keys),
    }
    baselines = alteration_recall(by_name, pictures, queries)
    for metrics in baselines.values():
        metrics["mean"] = sum(metrics.values()) / len(metrics)
    mean = sum(recall.values()) / len(recall)
    rating = "good at" if mean >= GOOD else "unreliable at"
    summary = (
        f"An altered photo's nearest key is its original's {mean:.0%} of the time among "
        f"{len(keys)} photos: {rating} finding copies and parts of photos. "
        f"{_compare(baselines, 'mean', len(rows))} Only labels can show how well "
        "photos of one kind are found: --classes or --manifest."
    )
    return Evaluation(figures, baselines, len(rows), summary)


def _compare(figures: Figures, metric: str, queries: int) -> str:
    """What one metric says about the encoder against the baselines."""
    (_, own), *others = ((name, metrics[metric]) for name, metrics in figures.items())
    shares = " and ".join(f"{share:.0%} for {name}" for name, share in others)
    conclusion = (
        "the encoder has learned more than these"
        if significantly_higher(own, [share for _, share in others], queries)
        else "no significant gain yet; train for longer, or on more photos"
    )
    return f"On the same {queries} photos it is {own:.0%}, against {shares}: {conclusion}."


def _read_pictures(
    path_of: PathOf, n: int, most: int, report: Report
) -> tuple[list[int], list[Image.Image]]:
    """At most `most` random photos out of n that can be read, with their rows.

    Raises NoPhotos for fewer than two.
    """
    rows: list[int] = []
    pictures: list[Image.Image] = []
    total = min(most, n)
    for row in np.random.default_rng(0).permutation(n).tolist():
        if len(rows) == total:
            break
        try:
            pictures.append(decode_image(read(path_of(row)) or b"", SIDE))
        except Unreadable:
            continue
        rows.append(row)
        report(len(rows), total)
    if len(rows) < 2:
        raise NoPhotos("too few photos can be read", "mount the disk that holds them")
    return rows, pictures
