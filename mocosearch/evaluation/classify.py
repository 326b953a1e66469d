"""The papers' evaluation: how well labels are predicted from frozen features."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mocosearch.encoder.whitening import Array
from mocosearch.errors import MissingPackage
from mocosearch.requirements import is_installed

NEIGHBOURS, TEMPERATURE = 200, 0.1
"""Of the weighted kNN: the values of the authors' CIFAR-10 demo."""
ROWS = 512
"""Queries that are compared with all keys at once."""
STEPS = 500
"""Most iterations of the solver."""
PENALTIES = (1.0, 10.0, 100.0)
"""Inverse strengths of the penalty that are tried; features are of unit length."""
FOLDS = 3
"""Parts of the training photos, each of which chooses among PENALTIES once."""

Rows = NDArray[np.int64]


def knn_predictions(
    keys: Array, labels: Sequence[str], queries: Array, own: Rows | None = None
) -> list[str]:
    """The label of each query (m, d) by a vote of the NEIGHBOURS nearest keys (n, d), each with the
    weight exp(cosine / TEMPERATURE): arXiv:1805.01978, section 3.4, as in MoCo's CIFAR-10 demo.

    All vectors are of unit length. own: (m,), the row of each query's own key, which does not vote;
    None where the queries are other photos.
    """
    names, classes = np.unique(np.array(labels), return_inverse=True)
    predictions: list[str] = []
    for at in range(0, len(queries), ROWS):
        part = queries[at : at + ROWS]
        cosines = part @ keys.T
        if own is not None:
            cosines[np.arange(len(part)), own[at : at + ROWS]] = -np.inf
        k = min(NEIGHBOURS, len(keys) - (own is not None))
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        weights = np.exp(np.take_along_axis(cosines, nearest, 1) / TEMPERATURE)
        votes = np.zeros((len(part), len(names)))
        np.add.at(votes, (np.arange(len(part))[:, None], classes[nearest]), weights)
        predictions += names[votes.argmax(1)].tolist()
    return predictions


def linear_predictions(
    features: Array, labels: Sequence[str], others: Array
) -> tuple[list[str], float]:
    """The labels of some photos (m, d) by a linear classifier that is fitted on others (n, d), and
    the penalty that was chosen by cross-validation on the latter.

    Multinomial logistic regression, which is the linear layer of the papers at its optimum. Raises
    MissingPackage without scikit-learn.
    """
    if not is_installed("sklearn"):
        raise MissingPackage("--linear needs scikit-learn", "pip install 'mocosearch[linear]'")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    def model(penalty: float) -> LogisticRegression:
        return LogisticRegression(C=penalty, max_iter=STEPS)

    least = np.unique(np.array(labels), return_counts=True)[1].min()
    best = PENALTIES[1]
    with warnings.catch_warnings():
        # With few labels, scikit-learn warns that there is a class for nearly every photo.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        if least >= FOLDS:
            scores = [cross_val_score(model(c), features, labels, cv=FOLDS) for c in PENALTIES]
            best = PENALTIES[int(np.argmax([score.mean() for score in scores]))]
        return model(best).fit(features, labels).predict(others).tolist(), best


def training_rows(labels: Sequence[str], percent: float, seed: int = 0) -> Rows:
    """Random rows with so many per cent of each label's photos, at least one, sorted."""
    random, names = np.random.default_rng(seed), np.array(labels)
    rows = []
    for name in np.unique(names):
        some = random.permutation(np.flatnonzero(names == name))
        rows.append(some[: max(1, round(len(some) * percent / 100))])
    return np.sort(np.concatenate(rows))


def accuracy(predictions: Sequence[str], labels: Sequence[str]) -> float:
    """The share of predictions that are right, 0..1."""
    return float(np.mean(np.array(predictions) == np.array(labels)))
