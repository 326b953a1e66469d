"""How well labels are predicted from features of CIFAR-10."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.papers.pictures import Pictures
from indexes.search.question import unit
from mocosearch.encoder.whitening import Array
from mocosearch.evaluation.classify import accuracy, knn_predictions, linear_predictions
from mocosearch.moco.precision import autocast

BATCH = 500
LINEAR = 5000
"""Pictures that a linear classifier is trained on."""
LINEAR_RATE, LINEAR_EPOCHS, LINEAR_BATCH = 30.0, 100, 256
"""Of the papers' linear classifier (arXiv:1911.05722, section 4.1): SGD without weight decay, the
rate divided by 10 after 60 and 80 epochs."""


@torch.no_grad()
def features(network: Callable[[Tensor], Tensor], pictures: Pictures) -> Array:
    """float32 (n, d), before normalisation."""
    parts = []
    for at in range(0, len(pictures.pixels), BATCH):
        part = torch.from_numpy(pictures.pixels[at : at + BATCH]).permute(0, 3, 1, 2).float() / 255
        with autocast():
            parts.append(network(part.contiguous(memory_format=torch.channels_last)).float())
    return torch.cat(parts).numpy()


def knn(network: nn.Module, train: Pictures, test: Pictures) -> float:
    """The weighted kNN of the authors' demo, on the network's output."""
    network.eval()
    keys, queries = unit(features(network, train)), unit(features(network, test))
    network.train()
    return accuracy(knn_predictions(keys, train.labels, queries), test.labels)


def knn_and_linear(network: nn.Module, train: Pictures, test: Pictures) -> dict[str, float]:
    """Both scores of a network's output, as `evaluate --knn --linear` computes them."""
    network.eval()
    keys, queries = unit(features(network, train)), unit(features(network, test))
    network.train()
    if not (np.isfinite(keys).all() and np.isfinite(queries).all()):
        return {"knn": float("nan"), "linear": float("nan")}
    nearest = knn_predictions(keys, train.labels, queries)
    order = np.random.default_rng(0).permutation(len(keys))[:LINEAR]
    labels = [train.labels[row] for row in order]
    predictions, _ = linear_predictions(keys[order], labels, queries)
    return {
        "knn": accuracy(nearest, test.labels),
        "linear": accuracy(predictions, test.labels),
    }


def papers_linear(network: nn.Module, train: Pictures, test: Pictures) -> dict[str, float]:
    """A linear layer trained as in the papers, on the network's output as it is and at unit length;
    and scikit-learn's logistic regression on the same pictures.
    """
    network.eval()
    keys, queries = features(network, train), features(network, test)
    network.train()
    order = np.random.default_rng(0).permutation(len(keys))[:LINEAR]
    labels = [train.labels[row] for row in order]
    predictions, _ = linear_predictions(unit(keys)[order], labels, unit(queries))
    scale = float(np.linalg.norm(keys[order], axis=1).mean())
    return {
        "logistic regression": accuracy(predictions, test.labels),
        "SGD, features as they are": accuracy(
            sgd_predictions(keys[order], labels, queries), test.labels
        ),
        "SGD, features of unit length": accuracy(
            sgd_predictions(unit(keys)[order], labels, unit(queries)), test.labels
        ),
        "mean length of the features": scale,
    }


def sgd_predictions(keys: Array, labels: list[str], queries: Array) -> list[str]:
    """The labels of queries (m, d) by a linear layer that is trained on keys (n, d)."""
    names, classes = np.unique(np.array(labels), return_inverse=True)
    torch.manual_seed(0)
    rows, wanted = torch.from_numpy(keys), torch.from_numpy(classes)
    layer = nn.Linear(rows.shape[1], len(names))
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=LINEAR_RATE, momentum=0.9)
    for epoch in range(LINEAR_EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = LINEAR_RATE * 0.1 ** ((epoch >= 60) + (epoch >= 80))
        for part in torch.randperm(len(rows)).split(LINEAR_BATCH):
            loss = F.cross_entropy(layer(rows[part]), wanted[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return names[layer(torch.from_numpy(queries)).argmax(1).numpy()].tolist()
